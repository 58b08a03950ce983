"""Every word that is read is trained on or scored, and this is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import sltk
import tiny
from sltk.data.coverage import check_predictions, check_trained_words
from sltk.data.datasets import Dataset
from sltk.errors import RunError
from sltk.runtime.progress import Progress
from sltk.subwords.tokenization import Encoding, Window
from sltk.types import Prediction, Sentence

DATASET = Dataset([Sentence(["Ines", "walked"], file="a.conll", line=3), Sentence([])], "IOB2", "IOB2")


def predictions() -> list[Prediction]:
    return [Prediction(sentence, ["O"] * len(sentence)) for sentence in DATASET]


def test_a_run_reports_that_no_word_was_lost(tmp_path: Path) -> None:
    """For any window length, the words of each split are trained on or scored."""
    progress = tiny.RecordingProgress()
    metrics = sltk.train(tiny.spec(data=tiny.all_splits(), max_length=4), tmp_path / "run", progress=progress)
    for name in ("validation", "test"):
        words = metrics[name]["words"]
        assert f"{name}: {words} words read, {words} scored" in progress.notes
    (note,) = [note for note in progress.notes if note.endswith(" trained on")]
    read, trained = (part.split()[-3 if "read" in part else 0] for part in note.split(", "))
    assert read == trained
    assert metrics["train"]["words"] == 2 * int(read)


def test_predictions_pass_unchanged() -> None:
    """Complete predictions are passed on, including empty sentences."""
    progress = tiny.RecordingProgress()
    assert list(check_predictions(DATASET, predictions(), progress)) == predictions()
    assert progress.notes == ["data: 2 words read, 2 scored"]


@pytest.mark.parametrize(
    ("broken", "lost"),
    [
        ([replace(predictions()[0], tags=["O"]), predictions()[1]], "1 of 2 words were labelled: a.conll:3"),
        (predictions()[:1], "0 of 0 words were labelled"),
        (predictions()[::-1], "0 of 2 words were labelled: a.conll:3"),
        ([*predictions(), predictions()[0]], "2 of 2 words were labelled"),
    ],
)
def test_a_missing_tag_or_prediction_ends_the_run(broken: list[Prediction], lost: str) -> None:
    """A word without a tag, or a missing, extra or misplaced sentence, is an error that names the sentence."""
    with pytest.raises(RunError, match=lost):
        list(check_predictions(DATASET, broken, Progress()))


def test_a_word_without_a_window_ends_the_run() -> None:
    """Encodings that lack a word are an error before training begins."""
    encodings = [Encoding([Window([5, 6], [0], [1])], 2), Encoding([Window([], [], [])], 0)]
    with pytest.raises(RunError, match=r"1 of 2 words were trained on: a\.conll:3"):
        check_trained_words(DATASET, encodings, Progress())
