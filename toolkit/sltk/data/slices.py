"""Where a model is right: each gold and predicted span in classes of its length, its rarity and its right context.

A class depends on the sentence, the ends and the type of a span, and on the training data, but not on whether the span
is gold or predicted: so precision, recall and F1 are defined within each class (as in Fu, Liu and Neubig 2020). The
result has no words.

*Right words needed* measures how far a reader of the training data must look beyond the first word of a span to know
its tag. The left context is that word with the word before it, or that word alone where the pair is not in the
training data. Its occurrences there that go on with the same next r words as the span's sentence are compared: the
smallest r with at least one such occurrence, and one tag in all of them, is the number of words needed. With r = 0, the
left context always has this one tag, so a model that sees no right context loses nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..components.metrics.seqeval import SeqevalMetric
from ..components.readers.dividing import document_numbers
from ..schemes.coding import Chunk
from ..schemes.names import SchemeName
from ..types import Prediction, Sentence

DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "sentence length": ("1 to 10 words", "11 to 20", "21 to 40", "41 or more"),
    "span length": ("1 word", "2", "3", "4 or more"),
    "same span in training": ("never", "1 or 2 times", "3 to 9", "10 or more"),
    "spans of the type in training": ("fewer than 20", "20 to 99", "100 to 499", "500 or more"),
    "right words needed": ("0", "1", "2", "3", "more, or undecided", "new word"),
}
"""The classes of each dimension, in the order of the digits in `SliceCodes`."""
BOTH, GOLD, PREDICTED = "b", "g", "p"
_LIMITS = {
    "sentence length": (11, 21, 41),
    "span length": (2, 3, 4),
    "same span in training": (1, 3, 10),
    "spans of the type in training": (20, 100, 500),
}
_MOST_RIGHT = 3
_UNDECIDED, _NEW = 4, 5
_START, _END, _SEVERAL = "\0start", "\0end", ""

SliceCodes = list[str]
"""One text per sentence. For each span that is gold, predicted or both, it has a letter (`GOLD`, `PREDICTED`, `BOTH`)
and one digit per dimension: its class."""


def slice_codes(
    training: Iterable[Sentence], predictions: Sequence[Prediction], metric: SeqevalMetric, scheme: SchemeName
) -> SliceCodes:
    """The classes of all gold and predicted spans.

    Args:
        training: the sentences that the model was trained on, with tags and spans. Gone through twice.
        predictions: the labelled sentences.
        metric: decides which spans tags are.
        scheme: the scheme of all tags, not `plain`.
    """
    spans = [
        (set(metric.spans(p.sentence.tags or (), scheme)), set(metric.spans(p.tags, scheme)))
        for p in predictions
    ]
    texts, types = _training_spans(training)
    contexts = RightContexts(
        (prediction.words, start)
        for prediction, (gold, predicted) in zip(predictions, spans, strict=True)
        for start, _, _ in gold | predicted
    )
    contexts.learn(training)

    def code(words: Sequence[str], span: Chunk) -> str:
        start, end, type_ = span
        values = len(words), end - start, texts[tuple(words[start:end])], types[type_]
        digits = [_class(name, value) for name, value in zip(_LIMITS, values, strict=True)]
        return "".join(map(str, (*digits, contexts.needed(words, start))))

    return [
        "".join(
            _letter(span, gold, predicted) + code(prediction.words, span) for span in sorted(gold | predicted)
        )
        for prediction, (gold, predicted) in zip(predictions, spans, strict=True)
    ]


def documents_of(sentences: Sequence[Sentence]) -> list[int] | None:
    """The document of each sentence, by number; None if no sentence has one."""
    return document_numbers(sentences) if any(each.document is not None for each in sentences) else None


def positions_of(sentences: Sequence[Sentence]) -> list[int] | None:
    """The place of each sentence in the data that cross-validation divides; None for other data."""
    positions = [each.position for each in sentences]
    return None if None in positions else [place for place in positions if place is not None]


def _training_spans(training: Iterable[Sentence]) -> tuple[Counter[tuple[str, ...]], Counter[str]]:
    """How often the words of a span, and spans of a type, occur."""
    texts: Counter[tuple[str, ...]] = Counter()
    types: Counter[str] = Counter()
    for sentence in training:
        for span in sentence.spans or ():
            texts[tuple(sentence.words[span.start : span.end])] += 1
            types[span.type] += 1
    return texts, types


def _class(name: str, value: int) -> int:
    """The class of a number: how many limits it reaches."""
    return bisect_right(_LIMITS[name], value)


def _letter(span: Chunk, gold: set[Chunk], predicted: set[Chunk]) -> str:
    return BOTH if span in gold and span in predicted else GOLD if span in gold else PREDICTED


class RightContexts:
    """The right context that decides the tag of a word, according to training data; see the top of this file.

    Args:
        places: the words of a sentence, and the index of a word in it, for each place to ask for. Only their
            contexts are in memory.
    """

    def __init__(self, places: Iterable[tuple[Sequence[str], int]]) -> None:
        self._tags: dict[tuple[str, ...], str | None] = {
            key: None for words, index in places for left in (2, 1) for key in _contexts(words, index, left)
        }
        """The tag of each context in training data; `_SEVERAL` if it has several, None if it does not occur."""

    def learn(self, training: Iterable[Sentence]) -> None:
        """Look for the contexts in tagged sentences."""
        for sentence in training:
            for index, tag in enumerate(sentence.tags or ()):
                for left in (2, 1):
                    for key in _contexts(sentence.words, index, left):
                        if key not in self._tags:
                            break
                        before = self._tags[key]
                        self._tags[key] = tag if before in (None, tag) else _SEVERAL

    def needed(self, words: Sequence[str], index: int) -> int:
        """The class of a word: the number of words to its right that decide its tag, `_UNDECIDED` or `_NEW`."""
        for left in (2, 1):
            tags = [self._tags[key] for key in _contexts(words, index, left)]
            if tags[0] is None:
                continue
            for right, tag in enumerate(tags):
                if tag != _SEVERAL:
                    return _UNDECIDED if tag is None else right
            return _UNDECIDED
        return _NEW


def _contexts(words: Sequence[str], index: int, left: int) -> Iterator[tuple[str, ...]]:
    """The word with the one before it (`left` is 2) or alone (1), then also with its next 1, 2, … words."""
    before = (words[index - 1] if index else _START,) if left == 2 else (_SEVERAL,)
    context: tuple[str, ...] = (*before, words[index])
    yield context
    for place in range(index + 1, index + 1 + _MOST_RIGHT):
        context = (*context, words[place] if place < len(words) else _END)
        yield context
