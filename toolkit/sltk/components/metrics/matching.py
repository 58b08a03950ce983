"""Pairs of gold and predicted spans that share words, each span in one pair at most.

Scorers that walk through the annotation and pair each span with the first that overlaps it give other scores when
the annotation is listed in another order. Here the order plays no part: of all ways to pair spans one to one, that
with the most pairs of one type is taken; among equals that with the most pairs; among those that with the most
words in common; and then the one whose pairs stand further left.

Spans of one side do not overlap. So the pairs that could be made, in the order of the sentence, share a span only
with neighbours, and the best choice is found in linear time, as in scheduling jobs on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ...schemes import Chunk

Pair = tuple[Chunk, Chunk]
"""A gold span and a predicted one."""
Worth = tuple[int, int, int]
"""Pairs of one type, pairs, words in common."""


def matched(gold: Sequence[Chunk], predicted: Sequence[Chunk]) -> list[Pair]:
    """The best pairs of spans that share a word, in the order of the sentence.

    Raises:
        ValueError: two spans of one side overlap.
    """
    candidates = _overlapping(_in_order(gold), _in_order(predicted))
    before = _without_conflict(candidates)
    best: list[Worth] = [(0, 0, 0)]
    for count, pair in zip(before, candidates, strict=True):
        best.append(max(best[-1], _sum(best[count], _worth(pair))))
    return _chosen(candidates, best, before)


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
        # A span that ends where the other does cannot reach the other's successor.
        if gold[i][1] <= predicted[j][1]:
            i += 1
        else:
            j += 1
    return pairs


def _common(left: Chunk, right: Chunk) -> int:
    return min(left[1], right[1]) - max(left[0], right[0])


def _without_conflict(candidates: list[Pair]) -> list[int]:
    """For each candidate, how many from the first on have no span in common with it: all others before it have."""
    first_with_gold: dict[Chunk, int] = {}
    first_with_predicted: dict[Chunk, int] = {}
    return [
        min(first_with_gold.setdefault(gold, index), first_with_predicted.setdefault(predicted, index))
        for index, (gold, predicted) in enumerate(candidates)
    ]


def _worth(pair: Pair) -> Worth:
    gold, predicted = pair
    return int(gold[2] == predicted[2]), 1, _common(gold, predicted)


def _sum(left: Worth, right: Worth) -> Worth:
    return left[0] + right[0], left[1] + right[1], left[2] + right[2]


def _chosen(candidates: list[Pair], best: list[Worth], before: list[int]) -> list[Pair]:
    """Walk back through the table: a pair was taken where leaving it out would have been worse."""
    pairs, count = [], len(candidates)
    while count:
        if best[count] == best[count - 1]:
            count -= 1
        else:
            pairs.append(candidates[count - 1])
            count = before[count - 1]
    return pairs[::-1]
