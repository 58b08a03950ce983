"""Which of overlapping spans to keep, where a sentence can hold but one tag a word."""

from __future__ import annotations

from collections.abc import Iterable

from ..types import Span


def resolve_overlaps(spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
    """Spans without overlap, and those left out, both in order of the sentence.

    The longest span is taken first; of equally long ones the leftmost; of those over the same words the one
    whose type comes first in the alphabet. The order in which the spans are given plays no part.
    """
    ranked = sorted(spans, key=lambda span: (span.start - span.end, span.start, span.type))
    taken = bytearray(max((span.end for span in ranked), default=0))
    kept: list[Span] = []
    dropped: list[Span] = []
    for span in ranked:
        # No taken span is shorter than this one, so one that overlaps it covers its first or its last word.
        if taken[span.start] or taken[span.end - 1]:
            dropped.append(span)
        else:
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept), sorted(dropped)
