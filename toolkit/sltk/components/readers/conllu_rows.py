"""The rows of CoNLL-U: words, multi-word tokens and empty nodes, and the text that they make up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...errors import DataError
from ...types import Unused
from .entity_brackets import BracketFields

FORM, _HEAD, MISC, _WIDTH = 1, 6, 9, 10
COLUMN_OF_KEYS = {"feats": 5, "misc": MISC}
"""The columns of pairs such as `Case=Nom|Number=Sing`."""
_ID = re.compile(r"(?P<first>\d{1,9})(?:(?P<kind>[-.])(?P<second>\d{1,9}))?", re.ASCII)

RowKind = Literal["word", "range", "empty"]


@dataclass(frozen=True, slots=True)
class ConlluRow:
    """One row: a word, a multi-word token or an empty node."""

    line: int
    kind: RowKind
    first: int
    last: int
    fields: list[str]


@dataclass(slots=True)
class SentenceRows:
    """The rows of one sentence, and the text in its comments."""

    path: Path
    rows: list[ConlluRow] = field(default_factory=list)
    text: str | None = None
    document: str | None = None
    fields: BracketFields = field(default_factory=BracketFields)
    """The order of the parts of brackets."""
    types: dict[str, str] = field(default_factory=dict)
    """Types of the entities of the document so far."""
    unused: tuple[Unused, ...] = ()
    words: int = 0
    covered: int = 0
    """The last word of the last multi-word token."""

    def add(self, line: int, text: str) -> None:
        """Add a row, whose id must continue the rows before it."""
        fields = text.split("\t")
        if len(fields) != _WIDTH:
            message = f"expected {_WIDTH} columns separated by tabs, found {len(fields)}"
            raise DataError.at(message, self.path, line)
        row = _parse_row(fields, self.path, line)
        if row.first != self.words + (row.kind != "empty") or (
            row.kind == "range" and not self.covered < row.first < row.last
        ):
            raise DataError.at(
                f"id `{fields[0]}` is out of order: the next word is {self.words + 1}", self.path, line
            )
        if not fields[FORM]:
            raise DataError.at("this row has no form", self.path, line)
        if row.kind == "word":
            self.words = row.first
        elif row.kind == "range":
            self.covered = row.last
        self.rows.append(row)

    def check_complete(self) -> None:
        """Check that the sentence has words, and all words of its multi-word tokens."""
        if not self.words or self.covered > self.words:
            message = f"this sentence has {self.words} words"
            if self.covered > self.words:
                message += f", but a multi-word token ends at word {self.covered}"
            raise DataError.at(message, self.path, self.rows[-1].line)


def _parse_row(fields: list[str], path: Path, line: int) -> ConlluRow:
    match = _ID.fullmatch(fields[0])
    if not match:
        raise DataError.at(f"`{fields[0][:40]}` is not an id: expected a number, `1-2` or `1.1`", path, line)
    first = int(match["first"])
    last = int(match["second"] or first)
    kind: RowKind = "word" if not match["kind"] else "range" if match["kind"] == "-" else "empty"
    return ConlluRow(line, kind, first, last, fields)


def heads_of(words: list[ConlluRow]) -> list[int | None] | None:
    """The index of each word's head; None without a tree, or if a head is not a word."""
    cells = [row.fields[_HEAD] for row in words]
    if not all(cell.isascii() and cell.isdigit() and int(cell) <= len(words) for cell in cells):
        return None
    return [int(cell) - 1 if int(cell) else None for cell in cells]


def pairs_of(cell: str) -> dict[str, str]:
    """The pairs of FEATS or MISC."""
    return dict(pair.split("=", 1) for pair in cell.split("|") if "=" in pair)


def surface_text(rows: list[ConlluRow]) -> str:
    """The text of the rows, with spaces according to SpaceAfter=No."""
    pieces, covered = [], 0
    for row in rows:
        if row.kind == "empty" or (row.kind == "word" and row.first <= covered):
            continue
        covered = max(covered, row.last)
        space = "" if pairs_of(row.fields[MISC]).get("SpaceAfter") == "No" else " "
        pieces.append(row.fields[FORM] + space)
    return "".join(pieces).rstrip(" ")


def locate(words: list[str], text: str) -> list[tuple[int, int]] | None:
    """Offsets of the words in the text, in order, with nothing but white space between them.

    None if they are not there, such as the words of a contraction that the text writes in another way.
    """
    offsets, place = [], 0
    for word in words:
        while not text.startswith(word, place):
            if not text[place : place + 1].isspace():
                return None
            place += 1
        offsets.append((place, place + len(word)))
        place += len(word)
    return offsets if not text[place:].strip() else None
