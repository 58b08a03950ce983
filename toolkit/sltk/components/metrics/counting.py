"""Precision, recall and F1 from counts of gold, predicted and correct spans or tags.

As in seqeval, precision is 0 if nothing was predicted, and recall is 0 if there is no gold annotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import eq
from typing import Any

from ...schemes import OUTSIDE, SEPARATOR, Chunk
from ...schemes.names import SchemeName
from ..slots import Metric, Tally

TagSequences = Sequence[Sequence[str]]
SpanPairs = Sequence[tuple[Sequence[Chunk], Sequence[Chunk]]]
"""Gold and predicted spans of each sentence."""


@dataclass(slots=True)
class Counts:
    """Number of gold, predicted and correct items of each type."""

    gold: Counter[str] = field(default_factory=Counter)
    predicted: Counter[str] = field(default_factory=Counter)
    correct: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of_spans(cls, sentences: Iterable[tuple[Sequence[Chunk], Sequence[Chunk]]]) -> Counts:
        """Count gold and predicted spans; correct ones have the same ends and type."""
        counts = cls()
        for gold, predicted in sentences:
            counts.add_spans(gold, predicted)
        return counts

    def add_spans(self, gold: Sequence[Chunk], predicted: Sequence[Chunk]) -> None:
        """Count the spans of a sentence."""
        for _, _, type_ in gold:
            self.gold[type_] += 1
        if predicted:
            known = set(gold)
            for span in predicted:
                self.predicted[span[2]] += 1
                if span in known:
                    self.correct[span[2]] += 1

    def micro(self) -> dict[str, float]:
        """Precision, recall and F1 over all types together."""
        return prf(self.gold.total(), self.predicted.total(), self.correct.total())

    def totals(self) -> dict[str, int]:
        """`support`, the number of gold items, `predicted` and `correct` over all types."""
        return {
            "support": self.gold.total(),
            "predicted": self.predicted.total(),
            "correct": self.correct.total(),
        }

    def per_type(self) -> dict[str, dict[str, Any]]:
        """Precision, recall, F1, `support`, `predicted` and `correct` of each type, sorted by name."""
        return {
            type_: {
                **prf(self.gold[type_], self.predicted[type_], self.correct[type_]),
                "support": self.gold[type_],
                "predicted": self.predicted[type_],
                "correct": self.correct[type_],
            }
            for type_ in sorted(self.gold.keys() | self.predicted.keys())
        }

    def averages(self) -> dict[str, float]:
        """F1 averaged over types, unweighted (macro) and weighted by support."""
        types = self.per_type().values()
        weighted = sum(scores["f1"] * scores["support"] for scores in types)
        return {
            "macro_f1": ratio(sum(scores["f1"] for scores in types), len(types)),
            "weighted_f1": ratio(weighted, self.gold.total()),
        }


@lru_cache(maxsize=65536)
def tags_of_word(tag: str) -> tuple[str, ...]:
    """The tags of a word in the scheme `layers`, in any order; `O` if it has no other.

    Which layer a span is on depends on the other spans of its sentence, so tags are compared without it.
    """
    return tuple(sorted(part for part in tag.split(SEPARATOR) if part != OUTSIDE)) or (OUTSIDE,)


@dataclass(slots=True)
class WordCounts:
    """Number of sentences, of words, and of words with the correct tag; in `layers`, with all correct tags."""

    scheme: SchemeName
    sentences: int = 0
    words: int = 0
    correct: int = 0

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Count the words of a sentence.

        Raises:
            ValueError: gold and predicted differ in length.
        """
        self.sentences += 1
        if len(gold) != len(predicted):
            number = self.sentences
            raise ValueError(
                f"sentence {number} has {len(gold)} gold tags but {len(predicted)} predicted ones"
            )
        self.words += len(gold)
        self.correct += sum(correct_words(gold, predicted, self.scheme))

    @property
    def accuracy(self) -> float:
        """The share of words with the correct tag."""
        return ratio(self.correct, self.words)

    def sizes(self) -> dict[str, int]:
        """The numbers of sentences and words."""
        return {"sentences": self.sentences, "words": self.words}


def correct_words(gold: Sequence[str], predicted: Sequence[str], scheme: SchemeName) -> Iterator[bool]:
    """Whether each word of a sentence has the correct tag, or in `layers` all correct tags."""
    if scheme == "layers":
        return map(eq, map(tags_of_word, gold), map(tags_of_word, predicted))
    return map(eq, gold, predicted)


def exact_scores(counts: Counts, words: WordCounts) -> dict[str, Any]:
    """Scores of exact spans, micro, averaged and per type; `accuracy` over words; numbers of sentences and words."""
    return {
        **counts.micro(),
        **counts.averages(),
        "accuracy": words.accuracy,
        **counts.totals(),
        "per_type": counts.per_type(),
        **words.sizes(),
    }


def span_scores(
    sentences: SpanPairs, gold: TagSequences, predicted: TagSequences, scheme: SchemeName
) -> dict[str, Any]:
    """The scores of sentences that are all in memory; see `exact_scores`."""
    return exact_scores(Counts.of_spans(sentences), word_counts(gold, predicted, scheme))


class TallyMetric(Metric):
    """A metric that counts sentence by sentence: subclasses implement `tally`."""

    def compute(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> dict[str, Any]:
        """The scores of the metric's tally.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain, but the metric counts spans.
            ValueError: gold and predicted differ in length.
        """
        if len(gold) != len(predicted):
            raise ValueError(f"{len(gold)} gold sentences but {len(predicted)} predicted ones")
        tally = self.tally(scheme)
        assert tally is not None
        for right, guess in zip(gold, predicted, strict=True):
            tally.add(right, guess)
        return tally.scores()


def tally_of(metric: Metric, scheme: SchemeName) -> Tally | None:
    """The tally of a metric; None if the metric needs all sentences at once, as custom subclasses may.

    Raises:
        SpecError: the tags are plain, but the metric counts spans.
    """
    kind = type(metric)
    is_usual = kind.score is Metric.score and kind.compute is TallyMetric.compute
    return metric.tally(scheme) if is_usual else None


def ratio(part: float, whole: float) -> float:
    """`part / whole`; 0 if `whole` is 0."""
    return part / whole if whole else 0.0


def prf(gold: int, predicted: int, correct: float) -> dict[str, float]:
    """Precision, recall and F1; partly correct items count as half in `correct`."""
    precision, recall = ratio(correct, predicted), ratio(correct, gold)
    return {
        "precision": precision,
        "recall": recall,
        "f1": ratio(2 * precision * recall, precision + recall),
    }


def word_counts(gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> WordCounts:
    """The counts of all sentences, of which both sides must have the same number.

    Raises:
        ValueError: the numbers differ; the message gives the number of the sentence, from 1.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sentences but {len(predicted)} predicted ones")
    counts = WordCounts(scheme)
    for right, guess in zip(gold, predicted, strict=True):
        counts.add(right, guess)
    return counts


def signature(metric: str, **settings: object) -> str:
    """The settings that two scores must share to be comparable: `seqeval|scheme:IOB2|mode:strict|sltk:0.1.0`."""
    from ..._version import __version__  # here: a component may be imported while the package is

    return "|".join([metric, *(f"{key}:{value}" for key, value in settings.items()), f"sltk:{__version__}"])
