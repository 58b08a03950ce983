"""Searches that train: in the folder of a sweep, resumable, and with one model for all masks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

import sltk
import tiny
from sltk import search, sweeps
from sltk.cli import main
from sltk.data.splits import load_splits
from sltk.errors import InvalidSpecError, ModelError, RunError
from sltk.masks import flags
from sltk.models import tagging
from sltk.nn.batching import pack
from sltk.nn.mask_flags import MaskSwitch
from sltk.runtime.progress import Progress
from sltk.search import shared_run
from sltk.search.shared_run import _DrawMasks
from sltk.types import Prediction

HERE = {"type": "local", "isolated": False}
MASKS = ["00", "01", "10", "11"]


def spec(strategy: str = "shared", budget: float = 0.9, **changes: Any) -> dict[str, Any]:
    """Four masks of two digits, four epochs of three updates."""
    search_ = {"strategy": strategy, "budget": budget, "masks": {"every": 2}}
    whole = tiny.spec({"epochs": 4}, data=tiny.all_splits(), **changes)
    return {**whole, "search": search_, "executor": HERE}


def outputs(experiment: Any, mask: str | None = None) -> torch.Tensor:
    """Word vectors of a few sentences from a model built from the spec, and then switched if `mask` is given."""
    loaded = sltk.spec.loading.load(experiment).spec
    training = load_splits(loaded.data, loaded.scheme, ["train"])["train"]
    model = tagging.build(loaded, training)
    if mask is not None:
        MaskSwitch(model.network.backbone).set(flags(mask, 2))
    model.network.eval()
    batch = pack(tagging.encode(training, model, Progress())[:6])
    with torch.inference_mode():
        vectors: torch.Tensor = model.network.word_vectors(
            batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"]
        )
    return vectors


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_a_switched_model_is_the_model_built_with_that_mask(mask: str, lora: dict[str, Any] | None) -> None:
    """Outputs are the same bit for bit, with and without adapters; other masks give other outputs."""
    own = {"unmask": mask, "lora": lora}
    built = outputs(tiny.spec(backbone=tiny.backbone(**own)))
    other = "01" if mask != "01" else "10"
    unswitched = outputs(tiny.spec(backbone=tiny.backbone(**{**own, "unmask": other})))
    switched = outputs(tiny.spec(backbone=tiny.backbone(**{**own, "unmask": other})), mask)
    assert torch.equal(built, switched)
    assert not torch.equal(built, unswitched)


def test_switching_draws_no_random_number_and_leaves_training_on() -> None:
    """A run with a switch draws the same random numbers as one without."""
    loaded = sltk.spec.loading.load(tiny.spec()).spec
    training = load_splits(loaded.data, loaded.scheme, ["train"])["train"]
    backbone = tagging.build(loaded, training).network.backbone.train()
    before = torch.get_rng_state()
    switch = MaskSwitch(backbone)
    assert torch.equal(before, torch.get_rng_state())
    assert backbone.training
    assert (switch.blocks, backbone.flags) == (2, (False, True))
    backbone.packs = False
    with pytest.raises(ModelError, match="cannot be switched"):
        MaskSwitch(backbone)


class _FlagRecorder(TrainerCallback):  # type: ignore[misc]
    """Records the flags of each forward pass in training; can interrupt it after some updates."""

    def __init__(self, ends_after: int | None = None) -> None:
        self.ends_after = ends_after
        self.drawn: list[tuple[bool, ...]] = []

    def on_train_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Hook into the model."""
        model.backbone.register_forward_pre_hook(lambda backbone, _: self.drawn.append(backbone.flags))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Interrupt after the checkpoint is written."""
        if state.global_step == self.ends_after:
            raise KeyboardInterrupt


def drawn(folder: Path, trainer: dict[str, Any], *, interrupted: int | None = None) -> list[tuple[bool, ...]]:
    """The flags of all forward passes in eight epochs of three batches."""
    saving = {} if interrupted is None else {"save_every": 1}
    whole = tiny.spec({"epochs": 8, **saving, **trainer})
    experiment = sltk.spec.loading.load(whole).spec
    recorder = _FlagRecorder(interrupted)
    if interrupted is not None:
        with pytest.raises(KeyboardInterrupt):
            sltk.train(whole, folder, callbacks=(_DrawMasks(MASKS, experiment), recorder))
    again = _FlagRecorder()
    sltk.train(
        whole, folder, resume=interrupted is not None, callbacks=(_DrawMasks(MASKS, experiment), again)
    )
    return recorder.drawn + again.drawn


@pytest.mark.parametrize(
    ("trainer", "batches"),
    [
        ({}, 24),
        ({"gradient_accumulation": 2}, 24),
        ({"gradient_accumulation": 4, "recipe": "true_accumulation"}, 24),
        ({"gradient_accumulation": 2, "recipe": "as_released"}, 16),
    ],
)
def test_every_mask_is_drawn_equally_often(trainer: dict[str, Any], batches: int, tmp_path: Path) -> None:
    """Among the batches that count, each cycle has every mask once, in changing order."""
    used = drawn(tmp_path / "run", trainer)
    assert len(used) == batches
    cycles = [used[start : start + 4] for start in range(0, batches, 4)]
    assert all(sorted(cycle) == sorted(flags(mask, 2) for mask in MASKS) for cycle in cycles)
    assert len({tuple(cycle) for cycle in cycles}) > 1


def test_batches_with_their_own_mask_do_not_share_a_pass(tmp_path: Path) -> None:
    """Elsewhere, a budget of subwords packs the batches of an update into one forward pass."""
    used = drawn(tmp_path / "run", {"gradient_accumulation": 2, "micro_batch_tokens": 10_000})
    assert len(used) == 24


def test_a_resumed_run_draws_the_same_masks(tmp_path: Path) -> None:
    """The interruption is within an epoch whose last update has fewer batches than the others."""
    trainer = {"gradient_accumulation": 2}
    assert drawn(tmp_path / "cut", trainer, interrupted=5) == drawn(tmp_path / "whole", trainer)


class _RecordingMetric:
    """A metric that records the predictions it gets."""

    def __init__(self) -> None:
        self.predictions: list[list[Prediction]] = []

    def score(self, predictions: list[Prediction], _: str) -> dict[str, float]:
        """Record the predictions."""
        self.predictions.append(predictions)
        return {"f1": 0.5}


def test_scoring_in_parts_equals_scoring_in_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring a data set in parts does not cut sentences off from their document context."""
    loaded = sltk.spec.loading.load(tiny.spec(document_context=20, max_length=None)).spec
    training = load_splits(loaded.data, loaded.scheme, ["train"])["train"]
    model = tagging.build(loaded, training)
    sentences = [replace(s, document=str(n // 9), file="texts") for n, s in enumerate(training)]
    dataset = replace(training, sentences=sentences)
    metric, switch = _RecordingMetric(), MaskSwitch(model.network.backbone)
    experiment = loaded.model_copy(update={"metrics": [metric]})
    monkeypatch.setattr(shared_run, "_SENTENCES", 4)
    shared_run.scores_of_masks(experiment, model, switch, MASKS, dataset, Progress())
    for mask, predictions in zip(MASKS, metric.predictions, strict=True):
        switch.set(flags(mask, 2))
        expected = list(sltk.Labeller(model).stream(sentences))
        assert [p.sentence for p in predictions] == sentences
        assert [p.tags for p in predictions] == [p.tags for p in expected]
        for one, other in zip(predictions, expected, strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
    alone = [p.scores for s in sentences for p in sltk.Labeller(model).stream([s])]
    assert alone != [pytest.approx(p.scores, abs=1e-5) for p in expected]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed search."""
    folder = tmp_path_factory.mktemp("whole") / "search"
    search.run(search.plan(spec()), folder)
    return folder


def test_a_search_reports_the_best_mask_and_the_cost(whole: Path) -> None:
    """The cost includes everything, and the best mask is among the finished runs."""
    result = json.loads((whole / "search.json").read_text())
    finished = {each["mask"]: each["validation"] for each in result["tried"] if each["finished"]}
    assert result["validation"] == max(finished.values()) == finished[result["mask"]]
    assert set(result["shared"]) == set(MASKS)
    assert 1 < result["spent"] <= 0.9 * 4
    assert result["share"] == pytest.approx(result["spent"] / 4, abs=1e-3)
    metrics = json.loads((whole / "runs" / result["run"] / "metrics.json").read_text())
    assert result["test"] == metrics["test"]["f1"]


def test_a_run_of_a_search_equals_a_separate_run(whole: Path, tmp_path: Path) -> None:
    """Weights and log of each finished run are those of the run trained alone, bit for bit."""
    plan = search.plan(spec())
    finished = [run for run in plan.runs.values() if (whole / "runs" / run.name / "metrics.json").exists()]
    assert finished
    for run in finished:
        sltk.train(run.experiment, tmp_path / run.name)
        inside = whole / "runs" / run.name
        assert tiny.same_weights(inside, tmp_path / run.name)
        logs = ((folder / "log.jsonl").read_text().splitlines() for folder in (inside, tmp_path / run.name))
        in_search, alone = logs
        assert in_search == alone


def test_a_killed_search_resumes(whole: Path, tmp_path: Path) -> None:
    """Interrupted after each run, it repeats no finished run and gives the same result."""
    expected = json.loads((whole / "search.json").read_text())
    folder = tmp_path / "search"
    for _ in range(30):
        try:
            search.run(search.plan(spec()), folder, watcher=_Impatient(0))
            break
        except KeyboardInterrupt:
            continue
    result = json.loads((folder / "search.json").read_text())
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}
    search.run(search.plan(spec()), folder)
    assert before == {
        path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("strategy", ["gaussian", "shared"])
def test_a_search_whose_runs_stop_early_ends(strategy: str, tmp_path: Path) -> None:
    """A run that `early_stopping` ends counts as finished, with the score in its `metrics.json`."""
    slow = spec(strategy)
    slow["trainer"] |= {"epochs": 8, "early_stopping": 1, "learning_rate": 1e-7}
    plan, folder = search.plan(slow), tmp_path / "search"
    started = search.begin(plan)
    try:
        result = search.run(plan, folder, search=started, watcher=_Impatient(17))
    except KeyboardInterrupt:
        pytest.fail("it requests what is already done")
    stopped = 0
    for mask, score in started.space.scores.items():
        run = folder / "runs" / plan.runs[mask].name
        metrics = json.loads((run / "metrics.json").read_text())
        assert score == metrics["validation"]["f1"]
        stopped += metrics["train"]["epochs"] < 8
    assert stopped
    assert result.validation == max(started.space.finished.values()) == started.space.finished[result.mask]


@pytest.mark.parametrize("retry", [False, True])
def test_a_damaged_run_counts_as_failed_until_it_is_retried(whole: Path, tmp_path: Path, retry: bool) -> None:
    """Like a sweep, a search does not replace it without `retry`."""
    folder = tmp_path / "search"
    shutil.copytree(whole, folder)
    before = json.loads((folder / "search.json").read_text())
    (folder / "runs" / before["run"] / "model/sltk.json").unlink()
    after = search.run(search.plan(spec()), folder, retry=retry)
    assert (after.mask == before["mask"]) is retry
    assert (folder / "runs" / before["run"] / "model/sltk.json").exists() is retry
    assert [each.mask for each in after.tried if not each.finished] == ([] if retry else [before["mask"]])


class _Impatient(sweeps.Watcher):
    """Interrupts when more runs have ended than expected."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def ended(self, row: sweeps.Row, status: sweeps.Status) -> None:
        self.patience -= 1
        if self.patience < 0:
            raise KeyboardInterrupt


def test_a_sweep_completes_a_search(whole: Path, tmp_path: Path) -> None:
    """A sweep trains the remaining runs in the same folder, and a later search reuses them."""
    folder = tmp_path / "search"
    shutil.copytree(whole, folder)
    plan = search.plan(spec("random", budget=1))
    outcome = sweeps.run(plan.sweep, folder)
    assert len(outcome.names("done")) == 4
    result = search.run(plan, folder)
    assert result.spent == 4
    assert result.validation == max(outcome.metrics(name)["validation"]["f1"] for name in outcome.rows)


def test_failed_runs_are_reported(tmp_path: Path) -> None:
    """If all runs fail there is no result, and a reason they share is reported once."""
    wrong = spec("random", budget=1)
    wrong["data"]["test"] = {"type": "conll", "path": str(tmp_path / "absent.conll")}
    with pytest.raises(RunError, match=r"no run was finished(.|\n)*there is no `(.|\n)*--retry"):
        search.run(search.plan(wrong), tmp_path / "search")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"strateg": "random", "masks": {"every": 2}}}, "did you mean `strategy`"),
        ({"search": {"strategy": "rand", "masks": {"every": 2}}}, "search.strategy"),
        ({"search": {"strategy": "halving", "masks": {"every": 2}}}, "`shared`, `sigmoid`, `gumbel` or `random`"),
        ({"search": {"budget": 2, "masks": {"every": 2}}}, "search.budget"),
        ({"search": {"budget": 0.1, "masks": {"every": 2}}}, "a budget of 0.25 is enough"),
        ({"search": {}}, "the spec gives no masks"),
        ({"search": {"masks": {"every": 2}}, "sweep": {"grid": {"seed": [1]}}}, "already gives the masks"),
        ({"search": {}, "sweep": {"grid": {"seed": [1, 2]}}}, "at least two masks"),
        ({"search": {}, "sweep": {"grid": {"trainer.batch_size": [1, 2]}}}, "`trainer.batch_size` varies too"),
        ({"data": {"train": {"type": "grammar"}}}, "chooses by validation"),
        ({"search": {}, "sweep": {"grid": {"backbone.unmask": ["window:2", "01"]}}}, "same number of digits"),
        ({"executor": {"type": "slurm"}}, "only writes a script"),
        ({"backbone": tiny.backbone(attend_to_padding=True)}, "a flaw to measure in a sweep"),
    ],
)  # fmt: skip
def test_unsupported_searches_are_rejected(changes: dict[str, Any], message: str) -> None:
    """The error is raised before anything is read or trained, and names the key."""
    with pytest.raises(InvalidSpecError, match=message.replace(".", r"\.")):
        search.plan({**spec("random"), **changes})


SPEC = """\
name: small
data:
  train: {type: grammar, count: 21}
  validation: {type: grammar, part: validation, count: 8}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
trainer: {epochs: 2, batch_size: 8, learning_rate: 0.01}
search: {strategy: random, budget: 0.5, masks: {every: 2}}
executor: {type: local, isolated: false}
"""


def test_the_command_line_searches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` describes the search, `search` prints the best mask; errors name the line."""
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    assert main(["check", str(path)]) == 0
    assert "4 masks, strategy random" in capsys.readouterr().out
    folder = tmp_path / "out"
    assert main(["search", str(path), "--output", str(folder), "--dry-run"]) == 0
    assert not folder.exists()
    assert main(["search", str(path), "--output", str(folder)]) == 0
    result = json.loads((folder / "search.json").read_text())
    assert f"best mask: {result['mask']}" in capsys.readouterr().out
    path.write_text(SPEC.replace("strategy: random", "strategy: randm"))
    assert main(["search", str(path)]) == 2
    assert "small.yaml:11:20" in capsys.readouterr().err
    path.write_text(SPEC.replace("search:", "trainers:"))
    assert main(["search", str(path)]) == 2
    assert "no `search`" in capsys.readouterr().err
