"""Checks that no word is lost: every word that was read is trained on, or labelled and scored.

If a length limit or a tokenizer dropped words silently, scores would be computed on the rest and still look right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..errors import RunError
from ..runtime.progress import Progress
from ..subwords.tokenization import Encoding
from ..types import Prediction, Sentence
from .data_report import describe_sentence
from .datasets import Dataset, SentenceSource


def check_trained_words(dataset: Dataset, encodings: Sequence[Encoding], progress: Progress) -> None:
    """Check that the windows of each sentence cover each of its words once.

    Raises:
        RunError: a word is covered by no window, or by several.
    """
    trained = 0
    for sentence, encoding in zip(dataset, encodings, strict=True):
        covered = sum(len(window.first) for window in encoding.windows)
        if not len(sentence) == encoding.words == covered:
            raise _lost_words(sentence, covered, "trained on")
        trained += covered
    progress.note(f"{dataset.name}: {_words(dataset):,} words read, {trained:,} trained on")


def report_truncated_words(words: int, progress: Progress) -> None:
    """Report words that are longer than the model's input."""
    if words:
        progress.note(f"{words} words are longer than the model's input: their middle was left out")


def check_predictions(
    dataset: SentenceSource, predictions: Iterable[Prediction], progress: Progress
) -> Iterator[Prediction]:
    """Yield the predictions, and check that there is one for each sentence, with one tag per word.

    Raises:
        RunError: a word has no tag, or a sentence no prediction.
    """
    read = scored = 0
    sentences = iter(dataset)
    for prediction in predictions:
        sentence = next(sentences, None)
        if sentence is None or prediction.words != sentence.words or len(prediction.tags) != len(sentence):
            raise _lost_words(sentence or prediction.sentence, len(prediction.tags), "labelled")
        read += len(sentence)
        scored += len(prediction.tags)
        yield prediction
    missing = next(sentences, None)
    if missing is not None:
        raise _lost_words(missing, 0, "labelled")
    progress.note(f"{dataset.name}: {read:,} words read, {scored:,} scored")


def _words(dataset: Dataset) -> int:
    return sum(map(len, dataset))


def _lost_words(sentence: Sentence, count: int, action: str) -> RunError:
    return RunError(f"{count} of {len(sentence)} words were {action}: {describe_sentence(sentence)}")
