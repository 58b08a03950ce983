"""Sentences of WebAnno TSV 3: rows of tokens and of parts of tokens, and their places in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from ...types import Unused
from .discontinuous import Discontinuous, parts_report
from .offset_units import CharSpan, Places, Unit
from .standoff import SKIP_NOTE, StandoffReader
from .webanno_layers import Header, unescape, values

_ID = re.compile(r"[0-9]{1,18}-[0-9]{1,18}(\.[0-9]{1,18})?")
_EXTENT = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_FIXED = 3  # columns: id, offsets and token


class TokenMark(NamedTuple):
    """An annotation on one token or part of one; marks of one number are one annotation."""

    value: str | None
    number: int | None
    start: int
    end: int
    token: int
    line: int


class TokenRow(NamedTuple):
    """A token, or part of one, with its offsets in the file, and the value and number of each annotation on it."""

    line: int
    is_part: bool
    begin: int
    end: int
    word: str
    annotations: tuple[tuple[str | None, int | None], ...]


class _PlacedRow(NamedTuple):
    """A row, its token with the number of that token, and the place of the token in the text."""

    row: TokenRow
    token: TokenRow
    number: int
    place: tuple[int, int]


def parse_row(line: str, number: int, path: Path, header: Header) -> TokenRow:
    """The row on a line.

    Raises:
        DataError: the row has another number of columns, no id, no offsets or no token.
    """
    fields, width = line.split("\t"), _FIXED + header.width
    if len(fields) == width + 1 and not fields[-1]:
        fields.pop()  # WebAnno ends each row with a tab
    if len(fields) != width:
        message = f"expected {width} columns separated by tabs, found {len(fields)}"
        raise DataError.at(
            message, path, number, "the lines `#T_…` at the top name all columns after the token"
        )
    id_, extent = _ID.fullmatch(fields[0]), _EXTENT.fullmatch(fields[1])
    if id_ is None or extent is None:
        found = f"`{fields[0][:40]}` and `{fields[1][:40]}`"
        raise DataError.at(f"expected an id `1-2` or `1-2.1` and offsets `0-4`, found {found}", path, number)
    if "" in fields:
        message = f"column {fields.index('') + 1} of {width} is empty"
        raise DataError.at(message, path, number, "a token without an annotation has `_` in a column")
    cells = () if header.column is None else values(fields[_FIXED + header.column])
    annotations = tuple((header.type or value, mark) for value, mark in cells)
    return TokenRow(number, id_[1] is not None, int(extent[1]), int(extent[2]), fields[2], annotations)


@dataclass(slots=True)
class TokenSentence:
    """A sentence: its text, the offsets of its tokens in it, and the annotations on them."""

    line: int
    text: str
    offsets: list[tuple[int, int]]
    marks: list[TokenMark]
    extent: tuple[int, int]
    """The offsets of the file at its first and last token."""
    is_source: bool = True
    """Whether the text is that of the file, not only the tokens with spaces between them."""
    is_annotated: bool = True
    document: int = 1
    unused: list[Unused] = field(default_factory=list)

    def continues(self, before: TokenSentence) -> bool:
        """Whether an annotation on the last token of the sentence before is also on the first one of this."""
        if self.document != before.document:
            return False
        last = {mark.number for mark in before.marks if mark.token == len(before.offsets) - 1}
        return bool(last & {mark.number for mark in self.marks if mark.token == 0} - {None})

    def append(self, after: TokenSentence) -> None:
        """Add the next sentence, after a line end unless their offsets leave no space."""
        space = "\n" if self.extent[1] < after.extent[0] or not self.is_source else ""
        start, tokens = len(self.text + space), len(self.offsets)
        self.text += space + after.text
        self.offsets += [(first + start, last + start) for first, last in after.offsets]
        self.marks += [
            mark._replace(start=mark.start + start, end=mark.end + start, token=mark.token + tokens)
            for mark in after.marks
        ]
        self.unused += after.unused
        self.is_source = self.is_source and after.is_source
        self.extent = self.extent[0], after.extent[1]

    def spans(self, path: Path, how: Discontinuous) -> tuple[list[CharSpan], list[Unused]]:
        """The annotations as spans, and reports of those without a value and those in several parts."""
        groups: dict[object, list[TokenMark]] = {}
        for place, mark in enumerate(self.marks):
            groups.setdefault((mark.number,) if mark.number is not None else place, []).append(mark)
        spans: list[CharSpan] = []
        unused: list[Unused] = []
        for marks in groups.values():
            first, start, end = marks[0], min(mark.start for mark in marks), max(mark.end for mark in marks)
            tokens = sorted({mark.token for mark in marks})
            name = f"`{self.text[start:end]}` ({first.value})" if first.value else f"`{self.text[start:end]}`"
            if len({mark.value for mark in marks}) > 1:
                problem = "has several types: " + ", ".join(dict.fromkeys(str(mark.value) for mark in marks))
            elif not first.value:
                problem = "has no value that could be its type"
            elif start == end:
                problem = "is empty"
            elif tokens != list(range(tokens[0], tokens[-1] + 1)):
                parts = _parts(marks)
                unused.append(
                    parts_report(str(path), first.line, name, first.value, f"{len(parts)} parts", how)
                )
                if how != "skip":
                    spans.append(CharSpan(start, end, first.value, first.line, fragments=parts))
                continue
            else:
                spans.append(CharSpan(start, end, first.value, first.line))
                continue
            unused.append(Unused(str(path), first.line, f"{name} {problem}", first.value))
        return spans, unused


def _parts(marks: list[TokenMark]) -> tuple[tuple[int, int], ...]:
    """The characters of each part of an annotation: its marks on tokens that follow each other."""
    parts: list[tuple[int, int]] = []
    before = -2
    for mark in sorted(marks, key=lambda mark: (mark.token, mark.start)):
        if mark.token > before + 1:
            parts.append((mark.start, mark.end))
        else:
            parts[-1] = min(parts[-1][0], mark.start), max(parts[-1][1], mark.end)
        before = mark.token
    return tuple(parts)


def locate_tokens(
    reader: StandoffReader, line: int, texts: list[str], rows: list[TokenRow], path: Path
) -> TokenSentence:
    """The sentence of these rows.

    Its text is that of the file if the tokens are in it, at their offsets or at least in order; otherwise it is the
    tokens with spaces between them, which is reported.

    Raises:
        DataError: part of a token comes before any token, or is not in its token (with `bad_annotation: error`).
    """
    tokens = [row for row in rows if not row.is_part]
    if rows[0].is_part:
        raise DataError.at("part of a token, but there is no token before it", path, rows[0].line)
    # WebAnno escapes the text; other programs that write this format may not.
    candidates = list(dict.fromkeys(("\n".join(map(unescape, texts)), "\n".join(texts))))
    places = [(_at_offsets(text, tokens), text) for text in candidates]
    offsets, text = next((place for place in places if place[0] is not None), (None, candidates[0]))
    problem = None
    if offsets is None and texts:
        offsets = _in_order(text, tokens)
        how = "words are searched in it" if offsets else "it is not used"
        problem = f"the text of this sentence does not have its words at their offsets: {how}"
    is_source = offsets is not None
    if offsets is None:
        text = " ".join(row.word for row in tokens)
        offsets = _in_order(text, tokens) or []
    marks, unused = reader.each(_placed(rows, offsets), partial(_marks, path=path))
    if problem:
        unused.append(Unused(str(path), line, problem, adjusted=True))
    extent = tokens[0].begin, tokens[-1].end
    return TokenSentence(line, text, offsets, list(chain(*marks)), extent, is_source, unused=unused)


def _at_offsets(text: str, tokens: list[TokenRow]) -> list[tuple[int, int]] | None:
    """The tokens at their offsets, counted from the first one; None if other text is there."""
    places, first = Places(text), tokens[0].begin
    found = [_place(places, token.begin - first, token.end - first, token.word) for token in tokens]
    offsets = [place for place in found if place is not None]
    is_ordered = all(before[1] <= after[0] for before, after in pairwise(offsets))
    return offsets if is_ordered and len(offsets) == len(tokens) else None


def _in_order(text: str, tokens: list[TokenRow]) -> list[tuple[int, int]] | None:
    """The tokens one after the other in the text; None if one is not there."""
    offsets, place = [], 0
    for token in tokens:
        found = ((text.find(word, place), word) for word in (token.word, unescape(token.word)))
        start, word = next((each for each in found if each[0] >= 0), (-1, ""))
        if start < 0:
            return None
        place = start + len(word)
        offsets.append((start, place))
    return offsets


def _place(places: Places, begin: int, end: int, word: str) -> tuple[int, int] | None:
    """The characters at offsets that count UTF-16 units, or characters, if they are those of the word.

    Some programs escape words as in values.
    """
    for unit in (Unit("utf16"), Unit("characters")):
        parts = places.parts(CharSpan(begin, end, ""), unit)
        if parts is not None and places.quote(parts) in (word, unescape(word)):
            return parts[0]
    return None


def _placed(rows: list[TokenRow], offsets: list[tuple[int, int]]) -> Iterator[_PlacedRow]:
    """The rows with annotations."""
    token, number = rows[0], -1
    for row in rows:
        if not row.is_part:
            token, number = row, number + 1
        if row.annotations:
            yield _PlacedRow(row, token, number, offsets[number])


def _marks(placed: _PlacedRow, path: Path) -> list[TokenMark]:
    """The annotations on a token or on part of one."""
    row, token, number, (start, end) = placed
    if row.is_part:
        place = _place(Places(token.word), row.begin - token.begin, row.end - token.begin, row.word)
        if place is None and row.begin != row.end:
            message = f"`{row.word}` is not at these offsets of `{token.word}`"
            raise DataError.at(message, path, row.line, SKIP_NOTE)
        start, end = (start + place[0], start + place[1]) if place is not None else (start, start)
    return [TokenMark(value, mark, start, end, number, row.line) for value, mark in row.annotations]
