"""`sltk evaluate` reads, labels and scores a few sentences at a time."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import sltk
from repository import ROOT
from sltk.cli import main
from sltk.components.readers.conll import ConllReader
from sltk.data.dataset_stream import open_split
from sltk.data.splits import load_splits
from sltk.models import evaluation, labeller
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.types import Prediction, Sentence

RUNS = ROOT / "tests" / "stored_runs"
METRICS = [["seqeval"], ["seqeval", "accuracy"], ["seqeval", "partial"], ["spans"]]


class Notes(Progress):
    """Collects notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Collect a note."""
        self.notes.append(message)


@pytest.mark.parametrize("name", ["tagger", "instruct"])
def test_scores_are_those_of_all_predictions(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line, which keeps no predictions, prints the scores and notes of a call that keeps them."""
    notes = Notes()
    held = sltk.evaluate(RUNS / name, progress=notes)
    assert main(["evaluate", str(RUNS / name), "--json"]) == 0
    printed = capsys.readouterr()
    scores = json.loads(printed.out)
    for each in (scores, held.scores):
        each.pop("responses", None)  # their time differs
    assert scores == held.scores
    assert all(note in printed.err for note in notes.notes)
    assert len(held.predictions) == held.scores["sentences"]


@pytest.mark.parametrize("types", METRICS, ids="+".join)
def test_all_metrics_score_streams(types: list[str]) -> None:
    """Metrics that count sentence by sentence, and those that need all of them, give the same scores for a stream."""
    from sltk.components.registry import registry

    run = RUNS / "tagger"
    predictions = sltk.evaluate(run).predictions
    metrics = [registry.find("metric", name).model_validate({}) for name in types]
    model = sltk.load(run).model
    expected = evaluation.split_scores(model, metrics, "IOB2", predictions)  # type: ignore[arg-type]
    streamed = evaluation.streamed_scores(model, metrics, "IOB2", iter(predictions))  # type: ignore[arg-type]
    assert streamed == expected


def test_only_a_few_sentences_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long file, only a window of sentences and predictions is in memory, whatever its length."""
    window, length = 64, 3000
    monkeypatch.setattr(labeller.Labeller.stream, "__defaults__", (window,))
    path = tmp_path / "long.conll"
    path.write_text("the O\nsoup B-positive\n\n" * length)
    most = number = 0

    def in_memory() -> int:
        gc.collect()
        return sum(isinstance(each, Sentence | Prediction) for each in gc.get_objects())

    class Watched(ConllReader):
        """The reader, counting the sentences in memory."""

        type_name: ClassVar[str] = "watched"

        def read(self) -> Iterator[Sentence]:
            """Yield the sentences."""
            nonlocal most, number
            for sentence in super().read():
                number += 1
                if number % 500 == 0:
                    most = max(most, in_memory())
                yield sentence

    before = in_memory()
    result = sltk.evaluate(RUNS / "tagger", reader=Watched(path=path), keep_predictions=False)
    assert (result.scores["sentences"], result.predictions) == (length, [])
    assert most - before < 10 * window


def test_malformed_data_is_an_error_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error at the end of a file is raised before anything is labelled."""
    path = tmp_path / "bad.conll"
    path.write_text("the O\n" * 500 + "\nsoup\n")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("sltk.models.kinds.load", fail)
    with pytest.raises(sltk.DataError, match="expected"):
        sltk.evaluate(RUNS / "tagger", reader=ConllReader(path=path))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("held_out", [(), ("validation",), ("test", "validation")])
def test_splits_are_the_same_as_in_training(split: str, held_out: tuple[str, ...], tmp_path: Path) -> None:
    """A split that is streamed has the sentences that it has in memory, also if `holdout` divides the data."""
    path = tmp_path / "a.conll"
    path.write_text("".join(f"word{number} B-X\n\n" for number in range(40)))
    data = {
        name: {"type": "conll", "path": str(path), "limit": 30} for name in ("train", "validation", "test")
    }
    data |= {name: {"type": "holdout", "count": 5} for name in held_out}
    backbone = {"type": "decoder", "init": "random", "config": {"model_type": "llama"}, "unmask": "0"}
    spec = loading.load(
        {"name": "x", "data": data, "backbone": backbone | {"tokenizer": {"type": "train"}}}
    ).spec
    streamed = [sentence.words for sentence in open_split(spec.data, "IOB2", split)]
    assert streamed == [sentence.words for sentence in load_splits(spec.data, "IOB2", [split])[split]]
