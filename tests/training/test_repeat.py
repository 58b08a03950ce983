"""Runs with `backbone.repeat`: training, evaluation, loading, and the subwords of a pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
from sltk.errors import SltkError
from sltk.spec import loading


def spec(repeat: int, **trainer: Any) -> dict[str, Any]:
    backbone = tiny.backbone(unmask="none", repeat=repeat)
    return tiny.spec(trainer, backbone=backbone, data=tiny.all_splits())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reads each sentence twice."""
    folder = tmp_path_factory.mktemp("repeat") / "run"
    sltk.train(spec(1), folder)
    return folder


def scores(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())


def test_a_loaded_model_repeats_as_in_training(run: Path) -> None:
    """The scores of the loaded model are those of the run, and its backbone reads two copies."""
    evaluated = sltk.evaluate(run, split="test")
    assert evaluated.scores["f1"] == scores(run)["test"]["f1"]
    assert sltk.load(run).model.network.backbone.copies == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": tiny.backbone(type="encoder", config=tiny.BERT, repeat=1)}, "`repeat` is for decoders"),
        ({"backbone": tiny.backbone(repeat=-1)}, "backbone.repeat"),
    ],
)
def test_repetition_is_refused_where_it_has_no_effect(changes: dict[str, Any], message: str) -> None:
    """An encoder, or a negative number."""
    with pytest.raises(SltkError, match=message):
        loading.load(tiny.spec(**changes))
