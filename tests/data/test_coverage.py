"""Words read are words trained on and words scored, in every run, and it is told."""

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


def test_a_run_tells_that_no_word_was_missed(tmp_path: Path) -> None:
    """However short the windows, the words of each split are those trained on, or scored."""
    heard = tiny.RecordingProgress()
    metrics = sltk.train(tiny.spec(data=tiny.all_splits(), max_length=4), tmp_path / "run", progress=heard)
    for name in ("validation", "test"):
        words = metrics[name]["words"]
        assert f"{name}: {words} words read, {words} scored" in heard.notes
    (note,) = [note for note in heard.notes if note.endswith(" trained on")]
    read, trained = (part.split()[-3 if "read" in part else 0] for part in note.split(", "))
    assert read == trained
    assert metrics["train"]["words"] == 2 * int(read)


def test_predictions_pass_unchanged() -> None:
    """What is complete is passed on, empty sentences included."""
    heard = tiny.RecordingProgress()
    assert list(check_predictions(DATASET, predictions(), heard)) == predictions()
    assert heard.notes == ["data: 2 words read, 2 scored"]


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
    """A word without a tag, a sentence too few, too many or out of order: an error that names the sentence."""
    with pytest.raises(RunError, match=lost):
        list(check_predictions(DATASET, broken, Progress()))


def test_a_word_that_no_window_answers_for_ends_the_run() -> None:
    """Encodings that miss a word are an error before training begins."""
    encodings = [Encoding([Window([5, 6], [0], [1])], 2), Encoding([Window([], [], [])], 0)]
    with pytest.raises(RunError, match=r"1 of 2 words were trained on: a\.conll:3"):
        check_trained_words(DATASET, encodings, Progress())
