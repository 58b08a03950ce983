"""Spans as CoNLL-2012 writes them in a column: `(PERSON*` opens one, `*)` closes one, `(GPE)` is a whole one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...types import Span

_CELL = re.compile(r"(?P<opened>(?:\([^()*\s]+)*)(?P<star>\*?)(?P<closed>\)*)")


class BracketError(ValueError):
    """A cell that is none, or brackets that do not match; `index` is the word's number in its sentence."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def spans_of(cells: Sequence[str]) -> list[Span]:
    """The spans of a sentence, nested ones too, in order of their first words, the wider before the inner.

    Raises:
        BracketError: a cell has another form, closes what is not open, or leaves a span open at the end.
    """
    found: list[Span] = []
    opened: list[tuple[int, str]] = []
    for index, cell in enumerate(cells):
        parts = _CELL.fullmatch(cell)
        if not cell or parts is None:
            raise BracketError(
                f"`{cell[:40]}` is no bracketed label: expected `*`, `(TYPE*`, `*)` or `(TYPE)`", index
            )
        opened += [(index, type_) for type_ in parts["opened"].split("(")[1:]]
        for _ in parts["closed"]:
            if not opened:
                raise BracketError(f"`{cell}` closes a span that is not open", index)
            start, type_ = opened.pop()
            found.append(Span(start, index + 1, type_))
    if opened:
        start, type_ = opened[-1]
        raise BracketError(f"the span `({type_}` is not closed in its sentence", start)
    return sorted(found, key=lambda span: (span.start, -span.end))
