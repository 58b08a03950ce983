"""Runs with `backbone.repeat` and `backbone.attend_to_padding`: training, evaluation, loading, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import sltk
import tiny
from sltk import sweeps
from sltk.errors import SltkError
from sltk.nn.backbone import PackedBackbone
from sltk.nn.packing import Packing
from sltk.spec import loading


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
    """It gives the tags and scores of the run: in sltk, or in a graph that repeats padded batches by itself."""
    sltk.export(run, tmp_path / "export", format=format)
    labelled, expected = (sltk.load(folder).predict(WORDS) for folder in (tmp_path / "export", run))
    assert [each.tags for each in labelled] == [each.tags for each in expected]
    for one, other in zip(labelled, expected, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_an_export_says_why_transformers_cannot_load_it(run: Path, tmp_path: Path) -> None:
    """The weights are plain, but transformers would read each sentence once."""
    progress = tiny.RecordingProgress()
    sltk.export(run, tmp_path / "export", progress)
    assert progress.has_note("it reads each sentence 2 times, and transformers reads it once")
    assert json.loads((tmp_path / "export" / "sltk.json").read_text())["transformers"]["class"] is None


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
    (name,) = outcome.names("done")
    with pytest.raises(SltkError, match="attends to padding"):
        sltk.load(tmp_path / "sweep" / "runs" / name)


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
