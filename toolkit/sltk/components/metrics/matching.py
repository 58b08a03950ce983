"""One-to-one matching of gold and predicted spans that share words.

A scorer that pairs each span with the first one that overlaps it depends on the order of the annotation. This
matching does not. Spans that are on both sides, with the same ends and type, are pairs. Of all one-to-one pairings of
the others, it takes the one with the most pairs of the same type; of these the one with the most pairs; of these the
one with the most words in common; and of these the leftmost: of two pairings, the last pair that only one of them
has is not in the leftmost.

If the spans of neither side overlap, candidate pairs, in the order of the sentence, share a span only with their
neighbours, and the best pairing is found in linear time, as in weighted interval scheduling. Spans of one side that
overlap are assigned by `assignment.py`, apart from those that share no word with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ...schemes import Chunk
from .assignment import best_assignment

Pair = tuple[Chunk, Chunk]
"""A gold span and a predicted one."""
Value = tuple[int, int, int]
"""Number of pairs of the same type, of pairs, and of words in common."""
Side = list[Chunk]


def match_spans(gold: Sequence[Chunk], predicted: Sequence[Chunk]) -> list[Pair]:
    """The best pairs of spans that share a word, in the order of the sentence; spans of a side may overlap."""
    left, right = Counter(gold), Counter(predicted)
    same = left & right
    pairs = [(span, span) for span in same.elements()]
    for one, other in _groups(sorted((left - same).elements()), sorted((right - same).elements())):
        pairs += _match_chain(one, other) if _is_flat(one) and _is_flat(other) else _assign(one, other)
    return sorted(pairs)


def _groups(gold: Side, predicted: Side) -> Iterator[tuple[Side, Side]]:
    """Divide the sentence between words that no span covers together, so that no pair is divided."""
    group: tuple[Side, Side] = ([], [])
    end = 0
    for span, side in sorted([(span, 0) for span in gold] + [(span, 1) for span in predicted]):
        if span[0] >= end and any(group):
            yield group
            group = ([], [])
        group[side].append(span)
        end = max(end, span[1])
    yield group


def _is_flat(ordered: Side) -> bool:
    return all(left[1] <= right[0] for left, right in pairwise(ordered))


def _common(left: Chunk, right: Chunk) -> int:
    """Number of words in common."""
    return min(left[1], right[1]) - max(left[0], right[0])


def _match_chain(gold: Side, predicted: Side) -> list[Pair]:
    """The best pairs of spans of which those of one side do not overlap."""
    candidates = _neighbours(gold, predicted)
    compatible = _compatible(candidates)
    best: list[Value] = [(0, 0, 0)]
    for count, pair in zip(compatible, candidates, strict=True):
        best.append(max(best[-1], _add(best[count], pair)))
    return _backtrack(candidates, best, compatible)


def _neighbours(gold: Side, predicted: Side) -> list[Pair]:
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
    return pairs


def _assign(gold: Side, predicted: Side) -> list[Pair]:
    """The best pairs of spans of which those of one side may overlap.

    The weight of a pair has the criteria as digits, the first one first. The last digit takes 1, 2, 4, … from the
    candidates in order, which only the leftmost of pairings that are otherwise equal keeps smallest.
    """
    candidates = _overlapping(gold, predicted)
    count, words = len(candidates), sum(end - start for start, end, _ in gold)
    edges: list[dict[int, int]] = [{} for _ in gold]
    for number, (i, j) in enumerate(candidates):
        is_same_type = int(gold[i][2] == predicted[j][2])
        pairs = (is_same_type << len(gold).bit_length()) + 1
        weight = (pairs << words.bit_length()) + _common(gold[i], predicted[j])
        edges[i][j] = (weight << count) - (1 << number)
    return [(gold[i], predicted[j]) for i, j in best_assignment(edges, len(predicted)).items()]


def _overlapping(gold: Side, predicted: Side) -> list[tuple[int, int]]:
    """The numbers of all spans that share a word, in order."""
    sides, active = (gold, predicted), ([], [])  # type: tuple[Side, Side], tuple[list[int], list[int]]
    order = sorted((span, side, index) for side in (0, 1) for index, span in enumerate(sides[side]))
    pairs = []
    for span, side, index in order:
        others = [other for other in active[1 - side] if sides[1 - side][other][1] > span[0]]
        active[1 - side][:] = others
        pairs += [(other, index) if side else (index, other) for other in others]
        active[side].append(index)
    return sorted(pairs)
