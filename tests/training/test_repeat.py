"""Runs with `backbone.repeat` and `backbone.attend_to_padding`: training, evaluation, loading, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sltk
import tiny
from sltk import sweeps
from sltk.cards import render_card
from sltk.errors import SltkError
from sltk.nn.backbone import PackedBackbone
from sltk.nn.batching import pack
from sltk.nn.packing import Packing
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.preview.estimate import estimate_run
from sltk.preview.pass_plan import PassPlan
from sltk.spec import loading
from sltk.subwords.samples import Sample
from sltk.subwords.tokenization import Encoding, Window
from sltk.training.micro_batches import MicroBatches


def spec(**changes: Any) -> dict[str, Any]:
    """A run that reads each sentence twice, with causal blocks."""
    backbone = tiny.backbone(**{"unmask": "none", "repeat": 1, **changes})
    return tiny.spec({"epochs": 1}, backbone=backbone, data=tiny.all_splits())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeat") / "run"
    sltk.train(spec(), folder)
    return folder


def test_a_loaded_model_repeats_as_in_training(run: Path) -> None:
    """The scores of the loaded model are those of the run, and its backbone reads two copies."""
    trained = json.loads((run / "metrics.json").read_text())
    assert sltk.evaluate(run, split="test").scores["f1"] == trained["test"]["f1"]
    assert sltk.load(run).model.network.backbone.copies == 2


WORDS = [["ok"], ["the", "soup", "was", "awful", ",", "and", "nobody", "called", "the", "bread", "plain"]]


@pytest.mark.parametrize("format", ["transformers", "onnx"])
def test_an_export_repeats_too(run: Path, tmp_path: Path, format: str) -> None:
    """It gives the tags and scores of the run: in sltk alone, or in a graph that repeats padded batches by itself."""
    progress = tiny.RecordingProgress()
    sltk.export(run, tmp_path / "export", progress, format=format)
    labelled, expected = (sltk.load(folder).predict(WORDS) for folder in (tmp_path / "export", run))
    assert [each.tags for each in labelled] == [each.tags for each in expected]
    for one, other in zip(labelled, expected, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
    if format == "transformers":
        assert progress.has_note("it reads each sentence 2 times, and transformers reads it once")
        assert json.loads((tmp_path / "export" / "sltk.json").read_text())["transformers"]["class"] is None
    assert "It reads each sentence 2 times in a row" in (tmp_path / "export" / "README.md").read_text()


class Passes:
    """Records the sentence lengths of each forward pass, while models are built as usual."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: list[list[int]] = []
        original = PackedBackbone._with_padding

        def recording(backbone: PackedBackbone, ids_T: torch.Tensor, packing: Packing) -> torch.Tensor:
            self.lengths.append(packing.lengths)
            return original(backbone, ids_T, packing)

        monkeypatch.setattr(PackedBackbone, "_with_padding", recording)


def test_padding_is_attended_to_in_the_batches_of_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sweep, training and scoring both have `batch_size` sentences per pass; scored ones are in file order."""
    passes = Passes(monkeypatch)
    flawed = spec(attend_to_padding=True)
    flawed["trainer"]["batch_size"] = 5
    plan = sweeps.plan(
        {**flawed, "sweep": {"grid": {"seed": [120]}}, "executor": {"type": "local", "isolated": False}}
    )
    outcome = sweeps.run(plan, tmp_path / "sweep")
    proof, trained, scored = passes.lengths[:2], passes.lengths[2:7], passes.lengths[7:]
    assert proof == [[5, 3]] * 2
    assert [len(lengths) for lengths in trained] == [5, 5, 5, 5, 1]
    assert [len(lengths) for lengths in scored] == [5, 3] * 2
    status = sweeps.read_status(plan, tmp_path / "sweep")
    assert [row.score is not None for row in status.rows.values()] == [True]
    assert outcome.status.best is status.best is None  # its score depends on its batches
    assert replace(status, flawed=frozenset()).best is not None
    (name,) = outcome.names("done")
    for use in (sltk.load, render_card):
        with pytest.raises(SltkError, match="attends to padding"):
            use(tmp_path / "sweep" / "runs" / name)


def test_padding_cannot_be_attended_to_outside_a_sweep(tmp_path: Path) -> None:
    """A run on its own is refused before anything is written."""
    with pytest.raises(SltkError, match="flaw to measure in a sweep"):
        sltk.train(spec(attend_to_padding=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "encoder", "config": tiny.BERT}, "`repeat` is for decoders"),
        ({"repeat": -1}, "backbone.repeat"),
        (
            {"type": "encoder", "config": tiny.BERT, "repeat": 0, "attend_to_padding": True},
            "`attend_to_padding` is for decoders",
        ),
    ],
)
def test_invalid_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """An encoder, or a negative number."""
    with pytest.raises(SltkError, match=message):
        loading.load(spec(**changes))


def positions(count: int, **changes: Any) -> dict[str, Any]:
    """The tiny decoder with a number of positions."""
    return spec(config={**tiny.LLAMA, "max_position_embeddings": count}, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            positions(20, repeat=2),
            "`repeat: 2` reads each sentence 3 times, and the 20 positions of the model hold 6 subwords that often",
        ),
        (
            {**positions(64), "max_length": 33},
            r"2 copies of 33 subwords \(`repeat: 1`\) exceed the 64 positions of the model",
        ),
        (
            {**positions(16), "on_overflow": "error"},
            r"a sentence has \d+ subwords; the model reads 8 in each of 2 copies \(`backbone.repeat`\)",
        ),
    ],
)
def test_copies_that_exceed_the_positions_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The message names the number of copies, and the limit for one of them."""
    with pytest.raises(SltkError, match=message):
        sltk.train(changes, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(run: Path, tmp_path: Path) -> None:
    """With equal weights, bit for bit."""
    resumed = spec()
    resumed["trainer"]["save_every"] = 1
    with pytest.raises(KeyboardInterrupt):
        sltk.train(resumed, tmp_path / "run", progress=tiny.InterruptingProgress(2))
    sltk.train(resumed, tmp_path / "run", resume=True)
    assert tiny.same_weights(run, tmp_path / "run")


def test_passes_count_all_copies() -> None:
    """A budget of 12 subwords holds two copies of sentences with 6 subwords together."""
    windows = [Window(list(range(size)), [0], [0]) for size in (2, 3, 3, 7)]
    samples = [Sample(Encoding([window], 1), [0], number) for number, window in enumerate(windows)]
    passes = MicroBatches(
        pack,
        PassPlan(micro_batch_tokens=12),
        can_change=True,
        copies=2,
        device=torch.device("cpu"),
        note=print,
        record=print,
    )
    assert sorted(sum(batch["packing"].lengths) for batch in passes.update([samples]).passes) == [2, 6, 7]


def test_a_prediction_counts_all_copies(run: Path) -> None:
    """With 2 copies, batches of 16 subwords hold sentences of at most 8 subwords together."""
    labeller = sltk.load(run, batch_tokens=16)
    backbone = labeller.model.network.backbone
    sizes: list[int] = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    labeller.predict([["ok"]] * 10)
    hook.remove()
    assert len(sizes) > 1
    assert max(sizes) <= 16


def test_the_estimate_counts_all_copies_and_padding() -> None:
    """The memory of activations grows with the copies, and with the padding that is attended to."""

    def size(**changes: Any) -> int:
        backbone = tiny.backbone(config={**tiny.LLAMA, "max_position_embeddings": 512}, **changes)
        trainer = {"batch_size": 512, "eval_batch_tokens": 1}
        found = estimate_run(loading.load(tiny.spec(trainer, backbone=backbone)).spec)
        assert found is not None
        assert found.memory_gpu_bytes is not None
        return found.memory_gpu_bytes

    once, twice, three_times = (size(repeat=repeat) for repeat in (0, 1, 2))
    assert three_times - twice == pytest.approx(twice - once, rel=0.01)
    assert twice > 1.5 * once
    assert size(attend_to_padding=True) > 1.5 * once


TASK = {
    "instruction": "Find opinions.",
    "options": {"positive": "good", "negative": "bad", "neutral": "else"},
}


@pytest.mark.parametrize("key", ["repeat", "attend_to_padding"])
def test_models_that_predict_tokens_read_each_text_once(key: str) -> None:
    """Instruction tuning and pre-training refuse both settings, at the key."""
    backbone = tiny.backbone(unmask="none", **{key: True if key == "attend_to_padding" else 1})
    instruct = {
        "name": "x",
        "type": "instruct",
        "data": tiny.all_splits(),
        "backbone": backbone,
        "instruct": TASK,
    }
    with pytest.raises(SltkError, match=f"`{key}` is for taggers") as error:
        loading.load(instruct)
    assert error.value.problems[0].path == f"backbone.{key}"
    pretrain = {
        "name": "x",
        "objective": "clm",
        "corpus": {"type": "grammar", "count": 4},
        "backbone": backbone,
    }
    with pytest.raises(SltkError, match=f"`{key}` is for taggers"):
        loading.load_as(PretrainSpec, pretrain)


def test_fixed_batches_are_not_divided() -> None:
    """Where padding is attended to, a budget of subwords per pass would change the scores."""
    flawed = spec(attend_to_padding=True)
    flawed["trainer"]["micro_batch_tokens"] = 100
    with pytest.raises(SltkError, match="keeps the batches of `batch_size`: leave out `micro_batch_tokens`"):
        loading.load(flawed)
