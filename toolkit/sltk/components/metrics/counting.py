"""From counts of right and wrong to precision, recall and F1, alike for spans and for tags.

Where nothing was predicted precision is 0, where there is no gold recall is 0, as in seqeval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...schemes import Chunk

TagSequences = Sequence[Sequence[str]]


@dataclass(slots=True)
class Counts:
    """How many there are of each type: in the gold annotation, in the prediction, and in both alike."""

    gold: Counter[str]
    predicted: Counter[str]
    correct: Counter[str]

    @classmethod
    def of(cls, gold: Iterable[str], predicted: Iterable[str], correct: Iterable[str]) -> Counts:
        """Count the types of three lists."""
        return cls(Counter(gold), Counter(predicted), Counter(correct))

    @classmethod
    def of_spans(cls, sentences: Iterable[tuple[Sequence[Chunk], Sequence[Chunk]]]) -> Counts:
        """Count gold and predicted spans sentence by sentence; right are those with both ends and type right."""
        wanted: list[str] = []
        found: list[str] = []
        correct: list[str] = []
        for gold, predicted in sentences:
            wanted += [type_ for _, _, type_ in gold]
            found += [type_ for _, _, type_ in predicted]
            correct += [type_ for _, _, type_ in set(gold).intersection(predicted)]
        return cls.of(wanted, found, correct)

    def micro(self) -> dict[str, float]:
        """Precision, recall and F1 over all types together."""
        return scores_of(self.gold.total(), self.predicted.total(), self.correct.total())

    def totals(self) -> dict[str, int]:
        """How many there are in all."""
        return {
            "support": self.gold.total(),
            "predicted": self.predicted.total(),
            "correct": self.correct.total(),
        }

    def per_type(self) -> dict[str, dict[str, Any]]:
        """Precision, recall, F1, and `support`, the number of gold ones, of each type, sorted by name."""
        return {
            type_: {
                **scores_of(self.gold[type_], self.predicted[type_], self.correct[type_]),
                "support": self.gold[type_],
                "predicted": self.predicted[type_],
                "correct": self.correct[type_],
            }
            for type_ in sorted(self.gold.keys() | self.predicted.keys())
        }

    def averages(self) -> dict[str, float]:
        """F1 averaged over types, each counting the same (macro) or by its support (weighted)."""
        types = self.per_type().values()
        weighted = sum(scores["f1"] * scores["support"] for scores in types)
        return {
            "macro_f1": ratio(sum(scores["f1"] for scores in types), len(types)),
            "weighted_f1": ratio(weighted, self.gold.total()),
        }


def ratio(part: float, whole: float) -> float:
    """A share; 0 where there is nothing to have a share of."""
    return part / whole if whole else 0.0


def scores_of(gold: int, predicted: int, correct: float) -> dict[str, float]:
    """Precision, recall and F1 of `correct` right ones (halves count for partly right ones)."""
    precision, recall = ratio(correct, predicted), ratio(correct, gold)
    return {
        "precision": precision,
        "recall": recall,
        "f1": ratio(2 * precision * recall, precision + recall),
    }


def sizes(gold: TagSequences, predicted: TagSequences) -> dict[str, int]:
    """The numbers of sentences and words, once it is sure that both sides have the same.

    Raises:
        ValueError: the sides differ; says in which sentence, from 1.
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
    """The share of words whose tags are the same."""
    return ratio(len(correct_tags(gold, predicted)), sum(map(len, gold)))


def signature(metric: str, **settings: object) -> str:
    """What a score must name to be compared with another: `seqeval|scheme:IOB2|mode:strict|sltk:0.1.0`."""
    from ..._version import __version__  # here: a component may be imported while the package is

    return "|".join([metric, *(f"{key}:{value}" for key, value in settings.items()), f"sltk:{__version__}"])
