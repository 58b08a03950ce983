"""One-to-one matching of gold and predicted spans that share words.

A scorer that pairs each span with the first one that overlaps it depends on the order of the annotation. This
matching does not: of all one-to-one pairings it takes the one with the most pairs of the same type; of these the one
with the most pairs; of these the one with the most words in common; and of these the leftmost.

Spans of one side do not overlap. So candidate pairs, in the order of the sentence, share a span only with their
neighbours, and the best pairing is found in linear time, as in weighted interval scheduling.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ...schemes import Chunk

Pair = tuple[Chunk, Chunk]
"""A gold span and a predicted one."""
Value = tuple[int, int, int]
"""Number of pairs of the same type, of pairs, and of words in common."""


def match_spans(gold: Sequence[Chunk], predicted: Sequence[Chunk]) -> list[Pair]:
    """The best pairs of spans that share a word, in the order of the sentence.

    Raises:
        ValueError: two spans of one side overlap.
    """
    candidates = _overlapping(_in_order(gold), _in_order(predicted))
    compatible = _compatible(candidates)
    best: list[Value] = [(0, 0, 0)]
    for count, pair in zip(compatible, candidates, strict=True):
        best.append(max(best[-1], _add(best[count], pair)))
    return _backtrack(candidates, best, compatible)


def _in_order(spans: Sequence[Chunk]) -> list[Chunk]:
    ordered = sorted(spans)
    for (start, end, _), (next_start, next_end, _) in pairwise(ordered):
        if next_start < end:
            raise ValueError(f"spans [{start}:{end}] and [{next_start}:{next_end}] of one side overlap")
    return ordered


def _overlapping(gold: list[Chunk], predicted: list[Chunk]) -> list[Pair]:
    """All pairs of spans that share a word, in order."""
    pairs, i, j = [], 0, 0
    while i < len(gold) and j < len(predicted):
        if _common(gold[i], predicted[j]) > 0:
            pairs.append((gold[i], predicted[j]))
        # A span that ends no later than the other cannot overlap the other's successor.
        if gold[i][1] <= predicted[j][1]:
            i += 1
        else:
            j += 1
    return pairs


def _common(left: Chunk, right: Chunk) -> int:
    """Number of words in common."""
    return min(left[1], right[1]) - max(left[0], right[0])


def _compatible(candidates: list[Pair]) -> list[int]:
    """For each candidate, the number of candidates from the first on that share no span with it."""
    first_with_gold: dict[Chunk, int] = {}
    first_with_predicted: dict[Chunk, int] = {}
    return [
        min(first_with_gold.setdefault(gold, index), first_with_predicted.setdefault(predicted, index))
        for index, (gold, predicted) in enumerate(candidates)
    ]


def _add(value: Value, pair: Pair) -> Value:
    gold, predicted = pair
    return value[0] + (gold[2] == predicted[2]), value[1] + 1, value[2] + _common(gold, predicted)


def _backtrack(candidates: list[Pair], best: list[Value], compatible: list[int]) -> list[Pair]:
    """The pairs of the best value: a pair was taken if the value is worse without it."""
    pairs, count = [], len(candidates)
    while count:
        if best[count] == best[count - 1]:
            count -= 1
        else:
            pairs.append(candidates[count - 1])
            count = compatible[count - 1]
    return pairs[::-1]
