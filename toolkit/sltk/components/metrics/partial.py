"""The `partial` metric: how much of the spans was found where ends or types are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ...schemes import Chunk
from ...schemes.names import SchemeName
from ..registry import register
from .counting import TagSequences, accuracy, ratio, scores_of, signature, sizes
from .matching import Pair, matched
from .span_metric import SpanMetric, SpanPairs

# What a pair is in each row, by (same ends, same type).
_RULES: dict[str, dict[tuple[bool, bool], str]] = {
    "strict": {(True, True): "correct"},
    "exact": {(True, True): "correct", (True, False): "correct"},
    "partial": {
        (True, True): "correct", (True, False): "correct",
        (False, True): "partial", (False, False): "partial",
    },
    "type": {(True, True): "correct", (False, True): "correct"},
}  # fmt: skip


@register.metric("partial")
class PartialMetric(SpanMetric):
    """The table of SemEval-2013 task 9: spans right in ends and type, in ends, in part, and in type.

    Gold and predicted spans that share words are paired one to one. Each row asks something else of a pair:
    `strict` both ends and the type, `exact` both ends, `partial` a word in common (half a point where the ends
    differ), `type` a word in common and the type. A pair that does not do is `incorrect`; a gold span without a
    partner is `missed`, a predicted one `spurious`; all gold ones are `possible`, all predicted ones `actual`.
    Precision is correct / actual and recall correct / possible, where a partial one is half a correct one.

    The pairs do not depend on the order of annotations: of all ways to pair spans, that with the most pairs of one
    type is taken, then the most pairs, then the most words in common, then those further left.
    `precision`, `recall` and `f1` are those of the row `partial`. `per_type` is the table of the spans of
    each type alone, so that a span of the wrong type is missed for one type and spurious for the other.
    """

    def compute(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> dict[str, Any]:
        """`precision`, `recall`, `f1`, `macro_f1`, the rows in `table`, and all of them in `per_type`.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain.
            ValueError: gold and predicted differ in length.
        """
        sentences = self.pairs(gold, predicted, scheme)
        per_type = _per_type(sentences)
        return {
            **_summary(sentences),
            "macro_f1": ratio(sum(each["f1"] for each in per_type.values()), len(per_type)),
            "accuracy": accuracy(gold, predicted),
            "per_type": per_type,
            **sizes(gold, predicted),
            "signature": signature("partial", scheme=scheme, mode=self.mode),
        }


def _per_type(sentences: SpanPairs) -> dict[str, dict[str, Any]]:
    """The scores of each type alone, sorted by name."""
    alone: dict[str, list[tuple[list[Chunk], list[Chunk]]]] = {}
    for gold, predicted in sentences:
        for type_ in {type_ for _, _, type_ in (*gold, *predicted)}:
            sides = ([span for span in side if span[2] == type_] for side in (gold, predicted))
            alone.setdefault(type_, []).append((next(sides), next(sides)))
    return {type_: _summary(alone[type_]) for type_ in sorted(alone)}


def _summary(sentences: SpanPairs) -> dict[str, Any]:
    rows = table(sentences)
    scores = {key: rows["partial"][key] for key in ("precision", "recall", "f1")}
    return {
        **scores,
        "support": rows["partial"]["possible"],
        "predicted": rows["partial"]["actual"],
        "table": rows,
    }


def table(sentences: Iterable[tuple[Sequence[Chunk], Sequence[Chunk]]]) -> dict[str, dict[str, Any]]:
    """The four rows, of the gold and predicted spans of all sentences; within a sentence in any order.

    Raises:
        ValueError: two spans of one side overlap.
    """
    kinds: Counter[tuple[bool, bool]] = Counter()
    possible = actual = 0
    for gold, predicted in sentences:
        kinds.update(map(_kind, matched(gold, predicted)))
        possible += len(gold)
        actual += len(predicted)
    return {row: _row(rules, kinds, possible, actual) for row, rules in _RULES.items()}


def _kind(pair: Pair) -> tuple[bool, bool]:
    """Whether both ends are the same, and whether the types are."""
    gold, predicted = pair
    return gold[:2] == predicted[:2], gold[2] == predicted[2]


def _row(
    rules: dict[tuple[bool, bool], str], kinds: Counter[tuple[bool, bool]], possible: int, actual: int
) -> dict[str, Any]:
    counts = {"correct": 0, "incorrect": 0, "partial": 0}
    for kind, number in kinds.items():
        counts[rules.get(kind, "incorrect")] += number
    credit = counts["correct"] + counts["partial"] / 2
    return {
        **counts,
        "missed": possible - kinds.total(),
        "spurious": actual - kinds.total(),
        "possible": possible,
        "actual": actual,
        **scores_of(possible, actual, credit),
    }
