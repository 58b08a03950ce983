"""Probable annotation errors: planted wrong labels are found, and runs that saw the sentences do not count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tiny
from labelled_runs import Labelled, write_run
from sltk import schemes
from sltk.cli import main
from sltk.inspection.suspects import Suspect
from sltk.types import Span

TYPES = ["PER", "LOC", "ORG"]
PLANTED = {3: "LOC", 17: "PER", 31: None}
"""Sentences with a wrong label, or none."""
MISTAKES = (8, 21, 40)
"""Sentences where the model is wrong, and not confident."""


def right(number: int) -> Span:
    return Span(1, 2, TYPES[number % 3])


def text(number: int) -> str:
    return f"saw name{number} there today"


def gold(number: int) -> list[Span]:
    if number in PLANTED:
        return [Span(1, 2, type_) for type_ in [PLANTED[number]] if type_ is not None]
    return [right(number)]


def labelled(number: int, seed: int = 0) -> Labelled:
    """A sentence as a good model labels it, whatever is planted."""
    score = 0.9 + 0.001 * ((number * 7 + seed) % 50)
    if number in MISTAKES:
        other = TYPES[(number + 1) % 3]
        return text(number), gold(number), [Span(1, 2, other, 0.55)]
    return text(number), gold(number), [Span(1, 2, right(number).type, 0.97 if number in PLANTED else score)]


def write_conll(path: Path, numbers: Sequence[int]) -> dict[str, Any]:
    """Write sentences with their gold labels, and return their reader."""
    blocks = []
    for number in numbers:
        words = text(number).split()
        tags = schemes.encode(gold(number), len(words), "IOB2")
        blocks.append("".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)))
    path.write_text("\n".join(blocks))
    return {"type": "conll", "path": str(path)}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"score": 0.98, "threshold": 0.93}, {"score": 0.995, "threshold": 0.994}),
        ({"score": 0.98}, {"score": 0.95}),
        ({"score": 0.95, "runs": 4}, {"score": 0.96, "runs": 3}),
        ({"score": 0.91, "runs": 3}, {"score": 0.99, "runs": 2}),
        ({"score": 0.89}, {"score": 0.5}),
        ({"score": 1.0, "threshold": 1.0}, {"score": 0.99, "threshold": 1.0}),
        ({"score": None, "runs": 4}, {"score": None, "runs": 3}),
    ],
)
def test_suspects_are_ranked_by_their_margin_over_the_usual_score(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Labels differ in how sure models usually are of them, so a score counts relative to its threshold."""
    common = {"split": "train", "place": "a:1", "kind": "missed", "gold": (), "predicted": (), "of": 4}
    usual = {"runs": 4, "threshold": 0.9}
    assert Suspect(**{**common, **usual, **first}).rank < Suspect(**{**common, **usual, **second}).rank


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, and two folds with two seeds each, of which each tests the half that it was not trained on."""
    folder = tmp_path_factory.mktemp("study")
    data = write_conll(folder / "train.conll", range(48))
    for fold in (0, 1):
        tested = range(24 * fold, 24 * fold + 24)
        train = write_conll(folder / f"train{fold}.conll", [each for each in range(48) if each not in tested])
        for seed in (1, 2):
            run = folder / "sweep/runs" / f"fold{fold}_{seed}"
            write_run(run, [labelled(each, seed) for each in tested], **tiny.spec(data={"train": train}))
    (folder / "spec.yaml").write_text(json.dumps(tiny.spec(data={"train": data})))
    return folder


def found(study: Path, capsys: pytest.CaptureFixture[str], *runs: Path) -> dict[str, Any]:
    """The suspects of the spec, as JSON."""
    options = [option for run in runs or [study / "sweep"] for option in ("--suspects", str(run))]
    assert main(["check", str(study / "spec.yaml"), "--data", "--json", *options]) == 0
    return dict(json.loads(capsys.readouterr().out)["suspects"])


def test_planted_errors_are_first(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are the probable errors; unsure mistakes of the model are disagreements that follow them."""
    result = found(study, capsys)
    assert (result["runs"], result["sentences"], result["of"]) == (4, 48, 48)
    assert (result["probable"], result["disagreements"], result["notes"]) == (3, 6, [])
    # Of 48 sentences, 47 have a gold span and all a predicted one; the three mistakes and three plants differ.
    assert result["f1"] == pytest.approx(2 * 42 / (47 + 48), abs=1e-4)
    first, rest = result["listed"][:3], result["listed"][3:]
    numbers = [int(each["predicted"][0]["text"].removeprefix("name")) for each in first]
    assert sorted(numbers) == sorted(PLANTED)
    for number, each in zip(numbers, first, strict=True):
        assert each["probable"]
        assert (each["runs"], each["of"], each["score"]) == (2, 2, 0.97)
        assert each["predicted"][0]["type"] == right(number).type
        assert [span["type"] for span in each["gold"]] == [span.type for span in gold(number)]
        assert each["kind"] == ("wrong type" if gold(number) else "spurious")
        assert each["place"] == f"{study}/train.conll:{5 * number + 2}"
    assert {each["score"] for each in rest} == {0.55}
    assert not any(each["probable"] for each in rest)


def test_runs_that_saw_the_sentences_do_not_count(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sentences that a run was trained on are left out and counted; if none remains, that is an error."""
    train = {"type": "conll", "path": str(study / "train.conll")}
    seen = write_run(
        tmp_path / "seen", [labelled(each) for each in range(48)], **tiny.spec(data={"train": train})
    )
    assert main(["check", str(study / "spec.yaml"), "--data", "--suspects", str(seen)]) == 2
    error = capsys.readouterr().err
    assert "no run labelled a sentence of this data that it was not trained on" in error
    assert "sentences left out because it was trained on their words: 48" in error
    both = found(study, capsys, seen, study / "sweep")
    assert both["listed"] == found(study, capsys)["listed"]
    assert both["notes"] == [f"`{seen}`: sentences left out because it was trained on their words: 48"]


def test_unknown_training_data_is_noted(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training data that is gone, or that differs from what the run recorded."""
    gone = {"type": "conll", "path": str(tmp_path / "gone.conll")}
    run = write_run(
        tmp_path / "gone", [labelled(each) for each in range(48)], **tiny.spec(data={"train": gone})
    )
    assert "its training data is gone" in found(study, capsys, run)["notes"][0]
    train = write_conll(tmp_path / "other.conll", [100])
    run = write_run(
        tmp_path / "other", [labelled(each) for each in range(48)], **tiny.spec(data={"train": train})
    )
    (run / "model").mkdir()
    (run / "model/sltk.json").write_text('{"labels": ["O"]}')
    (run / "environment.json").write_text('{"format": 1, "data": {"train": {"digest": "0"}}}')
    assert "its training data has changed since" in found(study, capsys, run)["notes"][0]


def test_runs_without_scores_are_ranked_by_agreement(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All runs that disagree come before a part of them; the terminal has at most 60 columns per fact."""
    train = write_conll(tmp_path / "none.conll", [100])
    for seed in (1, 2):
        sentences = [(text(3), gold(3), [right(3)]), (text(4), gold(4), [right(4)] if seed == 1 else [])]
        write_run(tmp_path / f"runs/{seed}", sentences, **tiny.spec(data={"train": train}))
    result = found(study, capsys, tmp_path / "runs")
    assert [(each["runs"], each["of"], each["score"], each["probable"]) for each in result["listed"]] == [
        (2, 2, None, True),
        (1, 2, None, False),
    ]
    assert "stores no scores" in result["notes"][0]
    assert main(["check", str(study / "spec.yaml"), "--data", "--suspects", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index(f"   1. {study}/train.conll:17")
    assert lines[place + 1 : place + 3] == [
        "      wrong type, 2 of 2 runs",
        "      gold `name3` LOC, predicted `name3` PER",
    ]
    assert "  disagreements    2, of which 1 probably in the annotation" in lines


def test_wrong_folders_are_errors(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is missing or has no finished run, and `--suspects` without `--data`."""
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished/spec.yaml").write_text("name: x\n")
    spec = str(study / "spec.yaml")
    for arguments, message in [
        (["--data", "--suspects", str(tmp_path / "nowhere")], "no such folder"),
        (["--data", "--suspects", str(study / "sweeep")], "did you mean `sweep`?"),
        (["--data", "--suspects", str(study / "spec.yaml")], "is a file, not a folder with runs"),
        (["--data", "--suspects", str(tmp_path / "empty")], "expected run directories, or folders that"),
        (["--data", "--suspects", str(tmp_path)], "unfinished runs, and runs that label nothing: 1"),
        (["--suspects", str(study)], "use it with `--data`"),
    ]:
        assert main(["check", spec, *arguments]) == 2
        assert message in capsys.readouterr().err
