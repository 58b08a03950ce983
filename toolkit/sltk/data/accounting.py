"""Every word that is read is trained on, or labelled and scored: seen to in every run, and told.

A word behind a length limit, or one that a tokenizer makes vanish, is otherwise missed by nobody: scores are
taken of what is left, and look right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..errors import RunError
from ..runtime.progress import Progress
from ..subwords.tokenization import Encoding
from ..types import Prediction, Sentence
from .datasets import Dataset
from .notes import name_of


def check_trained(dataset: Dataset, encodings: Sequence[Encoding], progress: Progress) -> None:
    """See that the windows of each sentence answer for each of its words once.

    Raises:
        RunError: they do not.
    """
    trained = 0
    for sentence, encoding in zip(dataset, encodings, strict=True):
        answered = sum(len(window.first) for window in encoding.windows)
        if not len(sentence) == encoding.words == answered:
            raise _lost(sentence, answered, "trained on")
        trained += answered
    progress.note(f"{dataset.name}: {sum(map(len, dataset)):,} words read, {trained:,} trained on")


def note_cut(words: int, progress: Progress) -> None:
    """Tell of words that had to be cut."""
    if words:
        progress.note(f"{words} words alone are longer than the model reads: their middle was left out")


def all_labelled(
    dataset: Dataset, predictions: Iterable[Prediction], progress: Progress
) -> Iterator[Prediction]:
    """The predictions as they come, each about the next sentence and with a tag for each of its words.

    Raises:
        RunError: a word has no tag, or a sentence no prediction.
    """
    scored = 0
    sentences = iter(dataset)
    for prediction in predictions:
        sentence = next(sentences, None)
        if sentence is None or prediction.words != sentence.words or len(prediction.tags) != len(sentence):
            raise _lost(sentence or prediction.sentence, len(prediction.tags), "labelled")
        scored += len(prediction.tags)
        yield prediction
    missing = next(sentences, None)
    if missing is not None:
        raise _lost(missing, 0, "labelled")
    progress.note(f"{dataset.name}: {sum(map(len, dataset)):,} words read, {scored:,} scored")


def _lost(sentence: Sentence, count: int, what: str) -> RunError:
    return RunError(f"of {len(sentence)} words {count} were {what}: {name_of(sentence)}")
