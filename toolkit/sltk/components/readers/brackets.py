"""Spans in the bracket notation of CoNLL-2012: `(PERSON*` opens one, `*)` closes one, `(GPE)` is a single word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...types import Span

_CELL = re.compile(r"(?P<opened>(?:\([^()*\s]+)*)(?P<star>\*?)(?P<closed>\)*)")


class BracketError(ValueError):
    """A cell in another notation, or unbalanced brackets; `index` is the word's index in its sentence."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def spans_of(cells: Sequence[str]) -> list[Span]:
    """The spans of a sentence, including nested ones, by their first word, outer spans before inner ones.

    Raises:
        BracketError: a cell in another notation, one that closes a span that is not open, or a span left open.
    """
    spans: list[Span] = []
    opened: list[tuple[int, str]] = []
    for index, cell in enumerate(cells):
        parts = _CELL.fullmatch(cell)
        if not cell or parts is None:
            raise BracketError(
                f"`{cell[:40]}` is not a bracketed label: expected `*`, `(TYPE*`, `*)` or `(TYPE)`", index
            )
        opened += [(index, type_) for type_ in parts["opened"].split("(")[1:]]
        for _ in parts["closed"]:
            if not opened:
                raise BracketError(f"`{cell}` closes a span that is not open", index)
            start, type_ = opened.pop()
            spans.append(Span(start, index + 1, type_))
    if opened:
        start, type_ = opened[-1]
        raise BracketError(f"the span `({type_}` is not closed in its sentence", start)
    return sorted(spans, key=lambda span: (span.start, -span.end))
