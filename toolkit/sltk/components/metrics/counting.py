"""Precision, recall and F1 from counts of gold, predicted and correct spans or tags.

As in seqeval, precision is 0 if nothing was predicted, and recall is 0 if there is no gold annotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...schemes import Chunk

TagSequences = Sequence[Sequence[str]]
SpanPairs = Sequence[tuple[Sequence[Chunk], Sequence[Chunk]]]
"""Gold and predicted spans of each sentence."""


@dataclass(slots=True)
class Counts:
    """Number of gold, predicted and correct items of each type."""

    gold: Counter[str]
    predicted: Counter[str]
    correct: Counter[str]

    @classmethod
    def of_spans(cls, sentences: Iterable[tuple[Sequence[Chunk], Sequence[Chunk]]]) -> Counts:
        """Count gold and predicted spans; correct ones have the same ends and type."""
        types: tuple[list[str], list[str], list[str]] = ([], [], [])
        for gold, predicted in sentences:
            for spans, into in zip((gold, predicted, set(gold).intersection(predicted)), types, strict=True):
                into += [type_ for _, _, type_ in spans]
        return cls(*map(Counter, types))

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


def span_scores(sentences: SpanPairs, gold: TagSequences, predicted: TagSequences) -> dict[str, Any]:
    """Scores of exact spans, micro, averaged and per type; `accuracy` over words; numbers of sentences and words."""
    counts = Counts.of_spans(sentences)
    return {
        **counts.micro(),
        **counts.averages(),
        "accuracy": accuracy(gold, predicted),
        **counts.totals(),
        "per_type": counts.per_type(),
        **sizes(gold, predicted),
    }


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


def sizes(gold: TagSequences, predicted: TagSequences) -> dict[str, int]:
    """The numbers of sentences and words, which must be the same on both sides.

    Raises:
        ValueError: the numbers differ; the message gives the number of the sentence, from 1.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sentences but {len(predicted)} predicted ones")
    for number, (right, guess) in enumerate(zip(gold, predicted, strict=True), 1):
        if len(right) != len(guess):
            raise ValueError(f"sentence {number} has {len(right)} gold tags but {len(guess)} predicted ones")
    return {"sentences": len(gold), "words": sum(map(len, gold))}


def correct_tags(gold: TagSequences, predicted: TagSequences) -> list[str]:
    """The tags of all words whose gold and predicted tags are the same."""
    return [
        tag
        for right, guess in zip(gold, predicted, strict=True)
        for tag, other in zip(right, guess, strict=True)
        if tag == other
    ]


def accuracy(gold: TagSequences, predicted: TagSequences) -> float:
    """The share of words with the correct tag."""
    return ratio(len(correct_tags(gold, predicted)), sum(map(len, gold)))


def signature(metric: str, **settings: object) -> str:
    """The settings that two scores must share to be comparable: `seqeval|scheme:IOB2|mode:strict|sltk:0.1.0`."""
    from ..._version import __version__  # here: a component may be imported while the package is

    return "|".join([metric, *(f"{key}:{value}" for key, value in settings.items()), f"sltk:{__version__}"])
