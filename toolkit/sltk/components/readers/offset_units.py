"""Units of offsets: characters, UTF-16 units (Java, JavaScript) or bytes of UTF-8 (Go, C), converted to characters.

Some programs also turn `\\r\\n` into `\\n` before they count, so each unit has a variant that counts a line end as one.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, NamedTuple

UnitName = Literal["characters", "utf16", "bytes"]
Part = tuple[int, int]
"""Start and end (not included)."""

_NAMES: tuple[UnitName, ...] = ("characters", "utf16", "bytes")
_IN_WORDS = {"characters": "characters", "utf16": "UTF-16 units", "bytes": "bytes of UTF-8"}


@dataclass(frozen=True, slots=True)
class CharSpan:
    """Characters `start` to `end` (not included) of a text have the type `type`."""

    start: int
    end: int
    type: str
    line: int | None = None
    """Line of the annotation in its file."""
    file: str | None = None
    """File of the annotation, if it is not that of the text."""
    text: str | None = None
    """The text of the span, if the annotation repeats it."""
    more: tuple[Part, ...] = ()
    """Further parts of a span in several parts, in the order of the file."""
    path: str = ""
    """The place of the annotation in its record, for messages: `result[2]`."""
    fragments: tuple[Part, ...] = ()
    """The parts of a discontinuous span that is read, in order; `start` and `end` are then its hull."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in the order of the file."""
        return ((self.start, self.end), *self.more)

    @property
    def pieces(self) -> tuple[Part, ...]:
        """The characters to read: those of each part of a discontinuous span, otherwise of the whole span."""
        return self.fragments or ((self.start, self.end),)

    def moved(self, by: int) -> CharSpan:
        """The span in a text that begins `by` characters before."""
        fragments = tuple((start + by, end + by) for start, end in self.fragments)
        return replace(self, start=self.start + by, end=self.end + by, fragments=fragments)


class Unit(NamedTuple):
    """What offsets count."""

    name: UnitName
    joins_line_ends: bool = False
    r"""Whether `\r\n` counts as one character."""

    def __str__(self) -> str:
        return _IN_WORDS[self.name] + (r", and \r\n as one" if self.joins_line_ends else "")


UNITS = tuple(Unit(name, joins) for name in _NAMES for joins in (False, True))
"""All units, the more usual ones first."""


class Places:
    """Converts offsets of one text to characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._has_pairs = "\r\n" in text
        self._bounds: dict[Unit, list[int] | None] = {}

    def equal_under(self, units: Sequence[Unit]) -> bool:
        """Whether all units count the same in this text."""
        return all(self._bounds_of(unit) is self._bounds_of(units[0]) for unit in units)

    def is_as_written(self, span: CharSpan) -> bool:
        """Whether a span in characters needs no change: it is one part, with a type, and exactly its text."""
        start, end = span.start, span.end
        if span.more or not span.type or not 0 <= start < end <= len(self.text):
            return False
        return span.text is None or self.text[start:end] == span.text

    def parts(self, span: CharSpan, unit: Unit) -> list[Part] | None:
        """The parts of a span in characters; None if one is empty, outside the text or inside a character."""
        parts = [self._part(*part, unit) for part in span.parts]
        return None if None in parts else [part for part in parts if part is not None]

    def fits(self, span: CharSpan, unit: Unit) -> bool:
        """Whether the text at the parts is the text that the annotation repeats, except for white space."""
        return self.closeness(span, unit) > 0

    def closeness(self, span: CharSpan, unit: Unit) -> int:
        """How close the text at the parts is to the repeated one: 0 different, 1 nearly, 2 equal.

        Texts are nearly equal if they differ in the amount of white space, or in how accents are encoded.

        White space of any kind and `\\n`, as two characters, are equal to a line end.
        """
        parts = self.parts(span, unit)
        if parts is None:
            return 0
        orders = [parts] if len(parts) == 1 else [parts, sorted(parts), merge_parts(parts, self.text)]
        return max(_closeness(self.quote(order), span.text or "") for order in orders)

    def quote(self, parts: Sequence[Part]) -> str:
        """The text at the parts."""
        return " ".join(self.text[start:end] for start, end in parts)

    def _part(self, start: int, end: int, unit: Unit) -> Part | None:
        bounds = self._bounds_of(unit)
        if bounds is None:
            return (start, end) if 0 <= start < end <= len(self.text) else None
        if not 0 <= start < end <= bounds[-1]:
            return None
        first, last = bisect_left(bounds, start), bisect_left(bounds, end)
        return (first, last) if (bounds[first], bounds[last]) == (start, end) else None

    def _bounds_of(self, unit: Unit) -> list[int] | None:
        """The offset of each character and of the end of the text; None if the unit counts like characters."""
        if unit.joins_line_ends and not self._has_pairs:
            unit = Unit(unit.name)
        if unit not in self._bounds:
            widths = _widths(self.text, unit)
            self._bounds[unit] = None if widths is None else [0, *accumulate(widths)]
        return self._bounds[unit]


def _closeness(text: str, repeated: str) -> int:
    if text == repeated:
        return 2
    variants = {repeated, repeated.replace("\\n", "\n")}
    if _with_spaces(text) in map(_with_spaces, variants):
        return 2
    return int(_composed(text) in map(_composed, variants))


def _composed(text: str) -> list[str]:
    """The words of a text; letters with accents are one character, as some programs write them."""
    return unicodedata.normalize("NFC", text).split()


def _with_spaces(text: str) -> str:
    return re.sub(r"\s", " ", text.replace("\r\n", "\n"))


def merge_parts(parts: Sequence[Part], text: str) -> list[Part]:
    """The parts in order; those that overlap or have only white space between them are one part."""
    ordered = sorted(parts)
    merged = ordered[:1]
    for start, end in ordered[1:]:
        before = merged[-1]
        if text[before[1] : start].strip():
            merged.append((start, end))
        else:
            merged[-1] = before[0], max(before[1], end)
    return merged


def _widths(text: str, unit: Unit) -> list[int] | None:
    """How much each character counts; None if all count one."""
    joins = unit.joins_line_ends
    if text.isascii() or unit.name == "characters":
        widths = [1] * len(text) if joins else None
    elif unit.name == "bytes":
        widths = [len(char.encode("utf-8", "surrogatepass")) for char in text]
    elif joins or len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text):
        widths = [1 + (char > "\uffff") for char in text]
    else:
        widths = None
    if joins and widths is not None:
        place = text.find("\r\n")
        while place >= 0:
            widths[place] = 0
            place = text.find("\r\n", place + 2)
    return widths
