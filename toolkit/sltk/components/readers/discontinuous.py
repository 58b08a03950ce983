"""Discontinuous spans: left out, or read as their hull or as one span per part.

A span has one first and one last word everywhere after reading. `Span.fragments` keeps the parts of the annotation, so
that writers whose format has discontinuous spans write it as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...types import Span, Unused
from ..slots import Reader

Discontinuous = Literal["skip", "hull", "fragments"]
Extent = tuple[int, int]

LEFT_OUT = "discontinuous spans are left out (discontinuous: hull or fragments reads them)"
"""Why a discontinuous span is not read."""
_READ_AS = {
    "skip": LEFT_OUT,
    "hull": "read as one span with everything between them",
    "fragments": "each is read as a span",
}


class DiscontinuousReader(Reader):
    """A reader of a format with discontinuous spans."""

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {**Reader.unwritten_defaults, "discontinuous": "skip"}

    discontinuous: Discontinuous = Field(
        default="skip",
        description="a span in several parts with words between them: left out and counted (skip), read as one span "
        "from its first to its last word (hull), or as one span per part (fragments)",
    )


def merged_parts(parts: Iterable[Extent]) -> list[Extent]:
    """The parts in order; those that touch or overlap are one."""
    merged: list[Extent] = []
    for start, end in sorted(parts):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def spans_of_parts(parts: Iterable[Extent], type_: str, how: Discontinuous) -> list[Span]:
    """The spans that stand for an annotation on these words."""
    merged = merged_parts(parts)
    if len(merged) == 1:
        return [Span(*merged[0], type_)]
    if how == "hull":
        return [Span(merged[0][0], merged[-1][1], type_, fragments=tuple(merged))]
    return [Span(*part, type_, fragments=tuple(merged)) for part in merged] if how == "fragments" else []


def parts_report(
    file: str, line: int | None, name: str, type_: str, parts: str, how: Discontinuous
) -> Unused:
    """The report of a discontinuous span: that it is left out, or as what it is read; `parts` is `2 parts`."""
    reason = f"{name} has {parts}: {_READ_AS[how]}"
    return Unused(file, line, reason, type_ if how == "skip" else None, adjusted=how != "skip")
