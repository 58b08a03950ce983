"""The `partial` metric: credit for spans with wrong ends or types."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...schemes import Chunk
from ...schemes.names import SchemeName
from ..registry import register
from .counting import SpanPairs, TagSequences, prf, ratio, signature, word_counts
from .matching import Pair, match_spans
from .span_metric import SpanMetric

# How each row counts a pair, by (same ends, same type).
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
    """The table of SemEval-2013 task 9: spans with correct ends and type, correct ends, overlap, and correct type.

    Gold and predicted spans that share words are paired one to one. Each row applies its own condition to a pair:
    `strict` both ends and the type, `exact` both ends, `partial` a word in common (half a point if the ends
    differ), `type` a word in common and the type. A pair that fails the condition is `incorrect`; a gold span
    without a partner is `missed`, a predicted one `spurious`; `possible` counts all gold spans, `actual` all predicted
    ones. Precision is correct / actual and recall correct / possible, where a partial match counts as half.

    The pairs do not depend on the order of annotations, and spans of one side may overlap: spans that are correct are
    pairs, and of all one-to-one pairings of the others, the one with the most pairs of the same type is taken, then the
    most pairs, then the most words in common, then the leftmost.
    `precision`, `recall` and `f1` are those of the row `partial`. `per_type` is the table for the spans of
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
        words = word_counts(gold, predicted, scheme)
        per_type = _per_type(sentences)
        return {
            **_summary(sentences),
            "macro_f1": ratio(sum(each["f1"] for each in per_type.values()), len(per_type)),
            "accuracy": words.accuracy,
            "per_type": per_type,
            **words.sizes(),
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


def table(sentences: SpanPairs) -> dict[str, dict[str, Any]]:
    """The four rows for the gold and predicted spans of all sentences, given in any order within a sentence."""
    kinds: Counter[tuple[bool, bool]] = Counter()
    possible = actual = 0
    for gold, predicted in sentences:
        kinds.update(map(_kind, match_spans(gold, predicted)))
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
    return {
        **counts,
        "missed": possible - kinds.total(),
        "spurious": actual - kinds.total(),
        "possible": possible,
        "actual": actual,
        **prf(possible, actual, counts["correct"] + counts["partial"] / 2),
    }
