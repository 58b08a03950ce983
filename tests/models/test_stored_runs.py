"""Run directories in tests/stored_runs, which a version of sltk before `sltk.extend` wrote.

They contain small models: a tagger with LoRA and a CRF, a tagger with a custom head and a custom backbone whose files
import from modules that have moved since, an instruction-tuned model, and a pre-trained model.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import sltk
import tiny
from repository import ROOT
from sltk import extend
from sltk.spec import loading
from sltk.spec.stored import read_mapping

RUNS = ROOT / "tests" / "stored_runs"


def columns(path: Path) -> list[list[list[str]]]:
    """The word, gold tag and predicted tag of each word, sentence by sentence."""
    blocks = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    return [[line.split("\t") for line in block.split("\n")] for block in blocks]


@pytest.mark.parametrize("name", ["tagger", "custom", "instruct"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_stored_run_predicts_the_same_labels(name: str) -> None:
    """Its model labels the words of its test data as it did when it was written."""
    rows_by_sentence = columns(RUNS / name / "predictions" / "test.conll")
    model = sltk.load(RUNS / name, trust_code=name == "custom")
    predictions = model.predict([[word for word, _, _ in rows] for rows in rows_by_sentence])
    assert [prediction.tags for prediction in predictions] == [
        [tag for _, _, tag in rows] for rows in rows_by_sentence
    ]


@pytest.mark.parametrize("name", ["tagger", "custom", "instruct"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_stored_run_is_scored_as_before(name: str) -> None:
    """`sltk evaluate` reads its spec, its data and its model, and gives the F1 in its metrics.json."""
    metrics = read_mapping(RUNS / name / "metrics.json")
    scores = sltk.evaluate(RUNS / name, trust_code=name == "custom").scores
    assert scores["f1"] == metrics["test"]["f1"]


def test_an_import_that_has_moved_names_the_new_one() -> None:
    """A custom component that imports from a moved module works, and a warning says where to import from."""
    sys.modules.pop("sltk.nn.loading", None)
    with pytest.warns(
        FutureWarning, match=r"`sltk\.nn\.loading` has moved: import its names from `sltk\.extend`"
    ):
        from sltk.nn.loading import tokenizer_for
    assert tokenizer_for is extend.tokenizer_for


def test_labelling_starts_from_a_stored_pre_trained_model(tmp_path: Path) -> None:
    """`backbone.name` names the model that an earlier version wrote."""
    backbone = {"type": "decoder", "name": str(RUNS / "pretraining" / "model"), "unmask": "01"}
    metrics = sltk.train(tiny.spec(backbone=backbone, data=tiny.all_splits()), tmp_path / "run")
    assert metrics["test"]["words"] > 0


@pytest.mark.parametrize("name", ["tagger", "instruct"])
def test_a_stored_run_is_finished_for_resume(name: str, tmp_path: Path) -> None:
    """`--resume` accepts its spec and returns its metrics."""
    run = tmp_path / name
    shutil.copytree(RUNS / name, run)
    metrics = sltk.train(loading.load(run / "spec.yaml"), run, resume=True)
    assert metrics == read_mapping(run / "metrics.json")
