"""Which of the candidate spans of a sentence are predicted, by how they may overlap.

none    the set without overlaps whose probability is highest: dynamic programming over log odds
nested  by probability, highest first, each unless it crosses one that is predicted already
any     all of them
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..types import Span

Overlap = Literal["none", "nested", "any"]
ScorerName = Literal["mlp", "biaffine"]
"""How candidates are scored: see `span_scoring`."""


class SpanChoice(NamedTuple):
    """A candidate that is a span more probably than not: words from `start` to `end`, half-open."""

    start: int
    end: int
    number: int
    """The number of its best class; 0 is no span."""
    odds: float
    """Log of the probability of this class, divided by that of no span; above 0."""
    score: float
    """The probability of this class."""


def choose(candidates: Sequence[SpanChoice], overlap: Overlap) -> list[SpanChoice]:
    """The candidates that are predicted, in order of the sentence."""
    if overlap == "any":
        return sorted(candidates)
    return sorted(without_overlap(candidates) if overlap == "none" else without_crossing(candidates))


def without_overlap(candidates: Sequence[SpanChoice]) -> list[SpanChoice]:
    """The set without overlaps with the highest sum of log odds (weighted interval scheduling).

    Where candidates are independent, the probability of a set is the product of the odds of its spans, up to a
    constant: so this is the most probable set without overlaps.
    """
    ordered = sorted(candidates, key=lambda each: (each.end, each.start, each.number))
    ends = [each.end for each in ordered]
    best = [0.0]
    """The highest sum among the first n candidates."""
    before = [bisect_right(ends, each.start) for each in ordered]
    for each, earlier in zip(ordered, before, strict=True):
        best.append(max(best[-1], best[earlier] + each.odds))
    chosen, number = [], len(ordered)
    while number:
        if best[number] > best[number - 1]:
            chosen.append(ordered[number - 1])
            number = before[number - 1]
        else:
            number -= 1
    return chosen


def without_crossing(candidates: Sequence[SpanChoice]) -> list[SpanChoice]:
    """Candidates by score, highest first and then from left to right, each unless it crosses a chosen one."""
    chosen: list[SpanChoice] = []
    for each in sorted(candidates, key=lambda each: (-each.score, each.start, each.end, each.number)):
        if not any(cross(each, other) for other in chosen):
            chosen.append(each)
    return chosen


def cross(left: Span | SpanChoice, right: Span | SpanChoice) -> bool:
    """Whether spans overlap and neither contains the other."""
    if left.start > right.start:
        left, right = right, left
    return left.start < right.start < left.end < right.end
