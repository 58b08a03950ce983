"""CoNLL-U: treebanks of Universal Dependencies, ten columns a word (universaldependencies.org/format.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...errors import DataError
from ...types import Sentence, Unused
from ..registry import register
from ..slots import TaggedReader
from .base import TextFileReader

_COLUMNS = {"upos": 3, "xpos": 4, "deprel": 7}
_KEYED = {"feats": 5, "misc": 9}
_FORM, _HEAD, _MISC, _WIDTH = 1, 6, 9, 10
_ID = re.compile(r"(?P<first>\d{1,9})(?:(?P<kind>[-.])(?P<second>\d{1,9}))?", re.ASCII)
_COMMENT = re.compile(r"#\s*(newdoc|text)\b\s*(?:id\s*)?(?:=\s*)?(.*)")

RowKind = Literal["word", "range", "empty"]


@register.reader("conllu")
class ConlluReader(TaggedReader, TextFileReader):
    """CoNLL-U: words with one column, or one key of MISC or FEATS, as their tag.

    Rows of multi-word tokens (`1-2`) and empty nodes (`1.1`) are no words; how many there are is reported.
    """

    column: str = Field(
        default="upos", description="what is the tag: upos, xpos, deprel, misc:KEY or feats:KEY"
    )
    missing: str | None = Field(
        default=None,
        description="tag of a word that has none (`_`, or no such key); unset: O with misc:KEY, `_` with "
        "feats:KEY, else an error",
    )

    @model_validator(mode="before")
    @classmethod
    def _columns_are_plain(cls, value: Any) -> Any:
        """Only a key of MISC holds tags of spans; a part of speech is never looked at for a scheme."""
        if isinstance(value, dict) and not str(value.get("column", "upos")).startswith("misc:"):
            return {"scheme": "plain", **value}
        return value

    @field_validator("column")
    @classmethod
    def _known_column(cls, value: str) -> str:
        name, _, key = value.partition(":")
        if value not in _COLUMNS and not (name in _KEYED and key):
            raise ValueError(f"no column `{value}`: expected upos, xpos, deprel, misc:KEY or feats:KEY")
        return value

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order, with text and offsets where the words are in `# text` one after another.

        Raises:
            DataError: the file cannot be read, a row has not ten columns, ids are out of order, or a word has
                no tag and `missing` is unset.
        """
        left_out = _LeftOut(self.path)
        before: Sentence | None = None
        for number, block in enumerate(self._blocks(), 1):
            if before is not None:
                yield before
            left_out.count(block)
            before = self._sentence(block)
            if number == self.limit:
                break
        if before is not None:
            yield replace(before, unused=(*before.unused, *left_out.reports()))

    @classmethod
    def example(cls) -> list[Sentence]:
        """Sentences with parts of speech."""
        from ..examples import plain_sentences

        return plain_sentences()

    def _blocks(self) -> Iterator[_SentenceRows]:
        """The rows of each sentence; what a file says of a document holds until it says so again."""
        lines = self.open()
        block, documents, document = _SentenceRows(), 0, None
        for number, line in lines:
            if not line.strip(" \t"):
                if block.rows:
                    yield block.finished(self.path, document, lines.take_replaced())
                block = _SentenceRows()
            elif line.startswith("#"):
                found = _COMMENT.match(line)
                if found and found[1] == "newdoc":
                    documents += 1
                    document = found[2].strip() or str(documents)
                elif found:
                    block.text = found[2]
            else:
                block.add(self.path, number, line)
        if block.rows:
            yield block.finished(self.path, document, lines.take_replaced())

    def _sentence(self, block: _SentenceRows) -> Sentence:
        words = [row for row in block.rows if row.kind == "word"]
        forms = [row.fields[_FORM] for row in words]
        text = block.text if block.text is not None else _surface(block.rows)
        offsets = _located(forms, text)
        return Sentence(
            forms,
            [self._tag(row) for row in words],
            text=None if offsets is None else text,
            offsets=offsets,
            file=str(self.path),
            line=block.rows[0].line,
            document=block.document,
            unused=block.unused,
            heads=_heads(words),
            word_lines=[row.line for row in words],
        )

    def _tag(self, row: _ConlluRow) -> str:
        name, _, key = self.column.partition(":")
        if key:
            tag = _keys(row.fields[_KEYED[name]]).get(key)
            fallback = "O" if name == "misc" else "_"
        else:
            tag = row.fields[_COLUMNS[name]]
            tag, fallback = (None if tag == "_" else tag), None
        found = tag or self.missing or fallback
        if found is None:
            message = f"word {row.first}, `{row.fields[_FORM]}`, has no {self.column}"
            raise DataError.at(message, self.path, row.line, "`missing: TAG` gives such words a tag")
        return found


@dataclass(frozen=True, slots=True)
class _ConlluRow:
    line: int
    kind: RowKind
    first: int
    last: int
    fields: list[str]


@dataclass(slots=True)
class _SentenceRows:
    """The rows of one sentence, and what the comments above them say."""

    rows: list[_ConlluRow] = field(default_factory=list)
    text: str | None = None
    document: str | None = None
    unused: tuple[Unused, ...] = ()
    words: int = 0
    covered: int = 0
    """The last word that a multi-word token has taken."""

    def add(self, path: Path, line: int, text: str) -> None:
        """Take a row, which must be the one that can come next."""
        fields = text.split("\t")
        if len(fields) != _WIDTH:
            message = f"expected {_WIDTH} columns with tabs between them, found {len(fields)}"
            raise DataError.at(message, path, line)
        row = _row(fields, path, line)
        if row.first != self.words + (row.kind != "empty") or (
            row.kind == "range" and not self.covered < row.first < row.last
        ):
            raise DataError.at(
                f"id `{fields[0]}` is out of order: the next word is {self.words + 1}", path, line
            )
        if not fields[_FORM]:
            raise DataError.at("this row has no form", path, line)
        if row.kind == "word":
            self.words = row.first
        elif row.kind == "range":
            self.covered = row.last
        self.rows.append(row)

    def finished(self, path: Path, document: str | None, unused: tuple[Unused, ...]) -> _SentenceRows:
        """The block at its end: it has words, and all those of its multi-word tokens."""
        if not self.words or self.covered > self.words:
            end = (
                f"a multi-word token ends at word {self.covered}" if self.words else "it has only other rows"
            )
            raise DataError.at(f"this sentence has {self.words} words, but {end}", path, self.rows[-1].line)
        return replace(self, document=document, unused=unused)


def _row(fields: list[str], path: Path, line: int) -> _ConlluRow:
    found = _ID.fullmatch(fields[0])
    if not found:
        raise DataError.at(f"`{fields[0][:40]}` is no id: expected a number, `1-2` or `1.1`", path, line)
    first = int(found["first"])
    last = int(found["second"] or first)
    kind: RowKind = "word" if not found["kind"] else "range" if found["kind"] == "-" else "empty"
    return _ConlluRow(line, kind, first, last, fields)


class _LeftOut:
    """Counts the rows that are no words."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: dict[str, int] = {}
        self.lines: dict[str, int] = {}

    def count(self, block: _SentenceRows) -> None:
        for row in block.rows:
            if row.kind != "word":
                self.counts[row.kind] = self.counts.get(row.kind, 0) + 1
                self.lines.setdefault(row.kind, row.line)

    def reports(self) -> Iterator[Unused]:
        """One report a kind, at the first such row."""
        called = {"range": "multi-word token(s), whose words are taken", "empty": "empty node(s), left out"}
        for kind, line in self.lines.items():
            yield Unused(str(self.path), line, f"{self.counts[kind]} {called[kind]}: such rows are no words")


def _heads(words: list[_ConlluRow]) -> list[int | None] | None:
    """The word that governs each, by number from 0; None where a word has no head, or one that is no word."""
    cells = [row.fields[_HEAD] for row in words]
    if not all(cell.isascii() and cell.isdigit() and int(cell) <= len(words) for cell in cells):
        return None
    return [int(cell) - 1 if int(cell) else None for cell in cells]


def _keys(cell: str) -> dict[str, str]:
    """The pairs of FEATS or MISC."""
    return dict(pair.split("=", 1) for pair in cell.split("|") if "=" in pair)


def _surface(rows: list[_ConlluRow]) -> str:
    """The text that the rows were cut from, as far as SpaceAfter=No tells it."""
    pieces, covered = [], 0
    for row in rows:
        if row.kind == "empty" or (row.kind == "word" and row.first <= covered):
            continue
        covered = max(covered, row.last)
        space = "" if _keys(row.fields[_MISC]).get("SpaceAfter") == "No" else " "
        pieces.append(row.fields[_FORM] + space)
    return "".join(pieces).rstrip(" ")


def _located(words: list[str], text: str) -> list[tuple[int, int]] | None:
    """Where the words are in the text: one after another, with nothing but white space between them.

    None where they are not, as the words of a contraction that are written otherwise in the text.
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
