"""Counts of spans that overlap others, or are discontinuous, for `sltk stats`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..components.readers.discontinuous import LEFT_OUT
from ..schemes import has_overlaps
from ..schemes.layers import assign_layers
from ..types import Sentence, Span

KINDS = ("inside", "same_words", "crossing")
"""Spans inside a longer one, over the same words as another, and those that cross another."""


class OverlapCounts:
    """Numbers of spans that share words with others of their sentence, and of discontinuous ones."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("spans", *KINDS), 0)
        self._layers = self._discontinuous = 0

    def add(self, sentence: Sentence, spans: Sequence[Span]) -> None:
        """Count all spans of a sentence; repeated ones count once."""
        self._discontinuous += len({(span.type, span.fragments) for span in spans if span.fragments})
        self._discontinuous += sum(unused.reason.endswith(LEFT_OUT) for unused in sentence.unused)
        if not has_overlaps(spans):
            return
        distinct = sorted(set(spans))
        self._layers = max(self._layers, len(assign_layers(distinct)))
        members: dict[str, set[int]] = {kind: set() for kind in self._counts}
        for left, right in _pairs(distinct):
            kind, own = _kind(distinct[left], distinct[right])
            members[kind].update((left, right)[each] for each in own)
            members["spans"].update((left, right))
        for kind, own_spans in members.items():
            self._counts[kind] += len(own_spans)

    def as_json(self) -> dict[str, Any]:
        """`overlaps`, with the number of `layers` that hold all spans, and `discontinuous`; only what there is."""
        overlaps = {"overlaps": {**self._counts, "layers": self._layers}} if self._counts["spans"] else {}
        return {**overlaps, **({"discontinuous": self._discontinuous} if self._discontinuous else {})}


def _pairs(ordered: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """The numbers of spans that share a word, the earlier one first."""
    active: list[int] = []
    for right, span in enumerate(ordered):
        active = [left for left in active if ordered[left].end > span.start]
        yield from ((left, right) for left in active)
        active.append(right)


def _kind(one: Span, other: Span) -> tuple[str, Sequence[int]]:
    """How two spans overlap, the first of which begins or ends first, and which of them are of this kind."""
    if (one.start, one.end) == (other.start, other.end):
        return "same_words", (0, 1)
    if one.start == other.start:
        return "inside", (0,)
    return ("inside", (1,)) if one.end >= other.end else ("crossing", (0, 1))
