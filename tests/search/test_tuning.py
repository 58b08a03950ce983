"""Searches over values of keys, without training: ranges, their errors, proposals, and the rules that stop trials."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from sltk.cli import main
from sltk.errors import InvalidSpecError
from sltk.search import tuning
from sltk.search.tuning.proposals import importance, propose
from sltk.search.tuning.pruning import PastTrial, is_hopeless
from sltk.search.tuning.trial_files import Trial
from sltk.search.tuning.tuning_spec import PruningSpec

RATES = {"log_uniform": [1e-4, 1e-1]}
HEADS = {"choice": [{"type": "linear"}, {"type": "crf"}]}


def spec(space: dict[str, Any], **search: Any) -> dict[str, Any]:
    return {**tiny.spec(data=tiny.all_splits()), "search": {"space": space, **search}}


def plan(space: dict[str, Any], **search: Any) -> tuning.TuningPlan:
    return tuning.plan(spec(space, **search))


def refused(space: dict[str, Any], **search: Any) -> str:
    """The error message, which is one problem."""
    with pytest.raises(InvalidSpecError) as caught:
        plan(space, **search)
    assert len(caught.value.problems) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "values", "message", "place"),
    [
        ("head.dropout", {"uniform": [0, 1.5]}, "a number below 1, found `1.5`", "1.5"),
        ("trainer.batch_size", {"int": [0, 8]}, "expected 1 or more, found `0`", "0"),
        ("trainer.optimizer", {"choice": ["sgd", "adamv"]}, "did you mean `adamw`?", "adamv"),
        ("trainer.learning_rat", RATES, "unknown key `learning_rat`", "trainer.learning_rat"),
        ("trainer.learning_rate", {"int": [1, 8]}, "takes fractions", "trainer.learning_rate"),
        ("trainer.batch_size", {"uniform": [1, 8]}, "takes whole numbers: use `int`", "trainer.batch_size"),
        ("trainer.optimizer", {"uniform": [0, 1]}, "takes no numbers: use `choice`", "trainer.optimizer"),
        ("trainer.warmup", {"uniform": [0, 1]}, "expected a share below 1", "1"),
        (
            "head.dropout",
            {"uniform": [0.5, 0.1]},
            r"reversed: expected low < high, found \[0.5, 0.1\]",
            "uniform",
        ),
        ("head.dropout", {"uniform": [0.5, 0.5]}, "the range is empty", "uniform"),
        ("head.dropout", {"log_uniform": [0, 0.5]}, "logarithmic range must be above 0", "log_uniform"),
        ("head.dropout", {"unifrom": [0, 0.5]}, "did you mean `uniform`", "unifrom"),
        ("head.dropout", {"uniform": [0.1]}, "expected a list of 2, found a list of 1", "uniform"),
        ("head.dropout", [0.1, 0.2], "expected a range", "head.dropout"),
        ("head.dropout", {}, "expected one of", "head.dropout"),
        ("head.dropout", {"uniform": [0, 0.5], "choice": [0.1]}, "expected one of", "head.dropout"),
        ("trainer.batch_size", {"choice": []}, "at least 1", "choice"),
        ("trainer.batch_size", {"choice": [8, 8]}, "given twice", "8"),
        ("metrics", {"choice": [[{"type": "accuracy"}]]}, "would not mean the same", "metrics"),
        ("data.test.count", {"int": [1, 8]}, "would not mean the same", "data.test.count"),
    ],
)
def test_an_impossible_range_is_one_clear_error(
    key: str, values: Any, message: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the line and column of the value, or of the key, in the file, before anything is trained."""
    path = tmp_path / "search.yaml"
    text = json.dumps(spec({key: values}), indent=1)
    path.write_text(text)
    with pytest.raises(InvalidSpecError, match=message) as caught:
        tuning.plan(path)
    (problem,) = caught.value.problems
    assert problem.location is not None
    assert problem.location.line is not None
    assert problem.location.column is not None
    line = text.splitlines()[problem.location.line - 1]
    assert line[problem.location.column - 1 :].lstrip('"').startswith(place)
    assert main(["search", str(path), "--dry-run"]) == 2
    assert f"{path}:{problem.location.line}" in capsys.readouterr().err


def test_an_empty_space_and_keys_of_other_searches_are_refused() -> None:
    """Each with its key."""
    assert "search.space" in refused({})
    assert "unknown key `budget`" in refused({"head.dropout": {"uniform": [0, 0.5]}}, budget=0.5)
    assert "`startup` is for the rule `median`" in refused(
        {"trainer.learning_rate": RATES}, pruning={"rule": "halving", "startup": 3}
    )
    with pytest.raises(InvalidSpecError, match="missing key `space`"):
        tuning.plan({**tiny.spec(), "search": {"strategy": "tpe"}})
    whole = {**spec({"trainer.learning_rate": RATES}), "executor": {"type": "slurm"}}
    with pytest.raises(InvalidSpecError, match="use `local` or `ray`"):
        tuning.plan(whole)
    with pytest.raises(InvalidSpecError, match=r"add `data.validation`"):
        tuning.plan({**tiny.spec(), "search": {"space": {"trainer.learning_rate": RATES}}})


def test_parts_of_a_component_that_varies_are_refused() -> None:
    """Otherwise one key would overwrite the other."""
    assert "`head.dropout` is also part of `head`" in refused(
        {"head": HEADS, "head.dropout": {"uniform": [0, 0.5]}}
    )


def test_training_data_cannot_vary_below_a_holdout() -> None:
    """Each trial would be scored on other sentences."""
    whole = spec({"data.train.count": {"choice": [8, 16]}})
    assert tuning.plan(whole).size == 2
    whole["data"] = {
        "train": {"type": "grammar", "count": 21},
        "validation": {"type": "holdout", "fraction": 0.3},
    }
    with pytest.raises(InvalidSpecError, match="`holdout` would take other sentences"):
        tuning.plan(whole)


def test_all_folds_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spec that stands for all folds needs one of them, in a search over values and in one over masks."""
    data = {"train": {"type": "grammar", "count": 20}, "validation": {"type": "holdout", "fraction": 0.2}}
    for section, advice in (
        ({"space": {"trainer.learning_rate": RATES}}, "`sltk sweep best.yaml --set data.folds.fold=null"),
        ({"masks": {"every": 2}, "budget": 1.0}, "then train the best mask on all folds"),
    ):
        path = tmp_path / "search.yaml"
        whole = {**tiny.spec(data={**data, "folds": {"k": 2}}), "search": section}
        path.write_text(json.dumps(whole, indent=1))
        assert main(["search", str(path), "--dry-run"]) == 2
        message = capsys.readouterr().err
        assert "so it cannot take the mean over folds" in message
        assert "(data.folds)" in message
        assert "`--set data.folds.fold=1` searches on the training part of one fold" in message
        assert advice in message
        assert main(["search", str(path), "--dry-run", "--set", "data.folds.fold=1"]) == 0


def test_folds_cannot_vary() -> None:
    """Scores of trials on other folds would not mean the same."""
    assert "`data.folds.fold` cannot vary" in refused({"data.folds.fold": {"int": [1, 2]}})


def test_values_that_do_not_go_together_are_found_before_training() -> None:
    """Values of several keys are validated together."""
    space = {"scheme": {"choice": ["IOB2", "plain"]}, "head.decode": {"choice": ["head", "constrained"]}}
    with pytest.raises(InvalidSpecError, match="plain"):
        plan(space)


def test_trials_are_stopped_early_only_if_the_spec_says_so() -> None:
    """Scores of early epochs mislead; a mapping without a rule means the median, and one word is the rule."""
    given = ({}, {"pruning": None}, {"pruning": {"min_epochs": 2}}, {"pruning": "halving"})
    rules = [plan({"trainer.learning_rate": RATES}, **each).settings.pruning.rule for each in given]
    assert rules == ["none", "none", "median", "halving"]


def test_a_trial_is_the_spec_with_its_values() -> None:
    """A mask keeps its digits; a component is replaced as a whole; whole numbers fit `trainer.epochs`."""
    space = {
        "backbone.unmask": {"choice": ["00", "01"]},
        "head": HEADS,
        "trainer.epochs": {"int": [1, 3]},
        "trainer.learning_rate": RATES,
    }
    made = plan(space).trial(
        7, {"backbone.unmask": "00", "head": "crf", "trainer.epochs": 2, "trainer.learning_rate": 0.003}
    )
    assert made.name == "trial-0007"
    assert made.resolved["backbone"]["unmask"] == "00"
    assert made.resolved["head"]["type"] == "crf"
    assert (made.experiment.trainer.epochs, made.experiment.trainer.learning_rate) == (2, 0.003)


def quality(trial: Trial) -> float:
    """An invented score: the learning rate matters most, and the best is 0.01 with a CRF."""
    from math import log10

    distance = abs(log10(float(trial.parameters["trainer.learning_rate"])) + 2)
    return 0.8 - 0.2 * distance + 0.02 * (trial.parameters["head"] == "crf")


SPACE = {"trainer.learning_rate": RATES, "head": HEADS, "trainer.batch_size": {"int": [4, 64]}}


def simulate(count: int, **search: Any) -> list[Trial]:
    """Trials one after the other, with the invented score."""
    made, trials = plan(SPACE, **search), []
    for number in range(count):
        trial = Trial(number, propose(made.space, made.settings, trials, number) or {})
        trials.append(Trial(number, trial.parameters, "done", (), quality(trial)))
    return trials


@pytest.mark.usefixtures("optuna_library")
def test_proposals_depend_only_on_the_seed_and_the_trials_so_far() -> None:
    """The same seed gives the same list, also from its middle; another seed gives another."""
    trials = simulate(14, random_trials=6)
    assert simulate(14, random_trials=6) == trials
    made = plan(SPACE, random_trials=6)
    assert propose(made.space, made.settings, trials[:9], 9) == trials[9].parameters
    assert simulate(2, seed=1)[0] != trials[0]
    assert len({trial.identity for trial in trials}) == 14


@pytest.mark.usefixtures("optuna_library")
def test_tpe_finds_better_values_than_random_and_importance_names_the_key_that_matters() -> None:
    """On an invented score, at equal numbers of trials."""
    tpe, random = simulate(30, random_trials=8), simulate(30, strategy="random")
    mean = {
        name: statistics.fmean(quality(trial) for trial in trials[10:])
        for name, trials in (("tpe", tpe), ("random", random))
    }
    assert mean["tpe"] > mean["random"] + 0.05
    shares = importance(plan(SPACE).space, random)
    assert next(iter(shares)) == "trainer.learning_rate"
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert importance(plan(SPACE).space, random[:9]) == {}


@pytest.mark.usefixtures("optuna_library")
def test_importance_is_that_of_the_only_key_that_matters() -> None:
    """Also if that key has choices, and there are few trials."""
    made = plan(SPACE)
    trials = [
        replace(trial, validation=0.5 if trial.parameters["head"] == "crf" else 0.3)
        for trial in simulate(20, strategy="random")
    ]
    shares = importance(made.space, trials)
    assert next(iter(shares)) == "head"
    assert shares["head"] > 0.8


@pytest.mark.usefixtures("optuna_library")
def test_no_combination_is_tried_twice_and_a_small_space_ends() -> None:
    """Four combinations give four trials, also if more are asked for."""
    made = plan({"head": HEADS, "backbone.unmask": {"choice": ["00", "01"]}}, trials=9, random_trials=1)
    assert made.trials == 4
    trials: list[Trial] = []
    for number in range(4):
        parameters = propose(made.space, made.settings, trials, number)
        assert parameters is not None
        trials.append(Trial(number, parameters, "failed" if number == 1 else "running"))
    assert len({trial.identity for trial in trials}) == 4
    assert propose(made.space, made.settings, trials, 4) is None


@settings(max_examples=30)
@given(low=st.floats(-50, 50), width=st.floats(1e-4, 100), share=st.floats(0, 1), log=st.booleans())
def test_proposed_numbers_are_short_and_stay_in_their_range(
    low: float, width: float, share: float, log: bool
) -> None:
    """Rounding moves a value by less than a thousandth of the range, or of the value if the range is logarithmic."""
    from sltk.search.tuning.space_values import SpaceKey
    from sltk.search.tuning.tuning_spec import Range
    from sltk.yamltree.source import Entry, Mark, Node

    low = abs(low) + 1e-6 if log else low
    kind = "log_uniform" if log else "uniform"
    mark = Mark("spec")
    key = SpaceKey("x", Range(**{kind: (low, low + width)}), Entry(mark, Node(mark, {})))
    value = low + width * share
    rounded = key.rounded(value)
    assert isinstance(rounded, float)
    assert low <= rounded <= low + width
    assert abs(rounded - value) <= 1e-3 * (max(abs(value), width) if log else width)
    assert key.rounded(rounded) == rounded
    assert key.contains(rounded)


scores_of_trials = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), max_size=7)


def past(scores: Sequence[Sequence[float]], stopped: int = 99) -> list[PastTrial]:
    return [
        PastTrial(scores=list(each), validation=None if number % stopped == 1 else each[-1])
        for number, each in enumerate(scores)
    ]


@pytest.mark.usefixtures("optuna_library")
@settings(max_examples=30)
@given(
    scores=scores_of_trials,
    own=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    startup=st.integers(1, 4),
    first=st.integers(1, 3),
)
def test_the_median_rule_is_the_written_out_median(
    scores: list[list[float]], own: list[float], startup: int, first: int
) -> None:
    """A trial stops if its best score so far is below the median of finished trials at this epoch."""
    history = past(scores, stopped=3)
    finished = [each["scores"] for each in history if each["validation"] is not None]
    at_epoch = [each[len(own) - 1] for each in finished if len(each) >= len(own)]
    expected = (
        len(finished) >= startup
        and len(own) >= first
        and bool(at_epoch)
        and max(own) < statistics.median(at_epoch)
    )
    rule = PruningSpec(rule="median", startup=startup, min_epochs=first)
    assert is_hopeless(rule, history, own) == expected


@pytest.mark.usefixtures("optuna_library")
@settings(max_examples=30)
@given(scores=scores_of_trials, last=st.floats(0, 1), first=st.integers(1, 2), factor=st.integers(2, 3))
def test_halving_keeps_the_best_share_at_each_rung(
    scores: list[list[float]], last: float, first: int, factor: int
) -> None:
    """After `min_epochs` epochs, a trial goes on if it is among the best 1/factor of all that came so far."""
    rivals = sorted([*(each[first - 1] for each in scores if len(each) >= first), last])
    kept = max(1, len(rivals) // factor)
    rule = PruningSpec(rule="halving", min_epochs=first, factor=factor)
    own = [0.0] * (first - 1) + [last]
    assert is_hopeless(rule, past(scores, stopped=2), own) == (last < rivals[-kept])
    if first > 1:
        assert not is_hopeless(rule, past(scores), own[:-1])


def test_planning_imports_neither_torch_nor_optuna(tmp_path: Path) -> None:
    """`sltk check` of such a spec starts quickly."""
    path = tmp_path / "search.yaml"
    path.write_text(json.dumps(spec({"trainer.learning_rate": RATES})))
    code = (
        "import sys; from sltk.search import tuning; tuning.plan(sys.argv[1]); "
        "sys.exit(bool({'torch', 'optuna', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0


def test_without_optuna_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the place of `space`, and before anything is read."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    path = tmp_path / "search.yaml"
    path.write_text(json.dumps(spec({"trainer.learning_rate": RATES}), indent=1))
    assert main(["search", str(path), "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "pip install 'sltk[search]'" in message
    assert "(search.space)" in message
    assert not (tmp_path / "out").exists()
