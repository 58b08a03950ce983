"""CoNLL-U: treebanks of Universal Dependencies, ten columns per word (universaldependencies.org/format.html)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...errors import DataError
from ...types import Sentence, Unused
from ..examples import plain_sentences
from ..registry import register
from ..slots import TaggedReader
from .text_file import TextFileReader

_COLUMNS = {"upos": 3, "xpos": 4, "deprel": 7}
_KEYED = {"feats": 5, "misc": 9}
_FORM, _HEAD, _MISC, _WIDTH = 1, 6, 9, 10
_ID = re.compile(r"(?P<first>\d{1,9})(?:(?P<kind>[-.])(?P<second>\d{1,9}))?", re.ASCII)
_COMMENT = re.compile(r"#\s*(newdoc|text)\b\s*(?:id\s*)?(?:=\s*)?(.*)")

RowKind = Literal["word", "range", "empty"]
_NOT_WORDS = {"range": "multi-word token(s), whose words are read", "empty": "empty node(s), left out"}


@register.reader("conllu")
class ConlluReader(TaggedReader, TextFileReader):
    """CoNLL-U: words with one column, or one key of MISC or FEATS, as their tag.

    Rows of multi-word tokens (`1-2`) and empty nodes (`1.1`) are not words; their number is reported.
    """

    column: str = Field(
        default="upos", description="column of the tag: upos, xpos, deprel, misc:KEY or feats:KEY"
    )
    missing: str | None = Field(
        default=None,
        description="tag of words without one (`_`, or no such key); unset: O for misc:KEY, `_` for feats:KEY, "
        "otherwise an error",
    )

    @model_validator(mode="before")
    @classmethod
    def _columns_are_plain(cls, value: Any) -> Any:
        """Default to plain tags: only keys of MISC can contain tags of spans."""
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

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order, with text and offsets if the words make up `# text`.

        Raises:
            DataError: the file cannot be read, a row does not have ten columns, ids are out of order, or a word has
                no tag and `missing`, unset, has no default for this column.
        """
        counts: Counter[RowKind] = Counter()
        lines: dict[RowKind, int] = {}
        before: Sentence | None = None
        for rows, sentence in islice(self._sentences(), self.limit):
            if before is not None:
                yield before
            for row in rows:
                counts[row.kind] += 1
                lines.setdefault(row.kind, row.line)
            before = sentence
        if before is not None:
            before.unused += tuple(
                Unused(str(self.path), line, f"{counts[kind]} {_NOT_WORDS[kind]}: such rows are not words")
                for kind, line in lines.items()
                if kind in _NOT_WORDS
            )
            yield before

    example_sentences = plain_sentences

    def _sentences(self) -> Iterator[tuple[list[_ConlluRow], Sentence]]:
        """Yield the rows of each sentence, and the sentence; a document ends where the next one begins."""
        lines = self.open()
        block, documents, document = _SentenceRows(self.path), 0, None
        for number, line in chain(lines, [(0, "")]):
            if not line.strip(" \t"):
                if block.rows:
                    yield block.rows, self._sentence(block, document, lines.take_replacements())
                block = _SentenceRows(self.path)
            elif line.startswith("#"):
                match = _COMMENT.match(line)
                if match and match[1] == "newdoc":
                    documents += 1
                    document = match[2].strip() or str(documents)
                elif match:
                    block.text = match[2]
            else:
                block.add(number, line)

    def _sentence(self, block: _SentenceRows, document: str | None, unused: tuple[Unused, ...]) -> Sentence:
        block.check_complete()
        words = [row for row in block.rows if row.kind == "word"]
        forms = [row.fields[_FORM] for row in words]
        text = block.text if block.text is not None else _surface_text(block.rows)
        offsets = _locate(forms, text)
        return Sentence(
            forms,
            [self._tag(row) for row in words],
            text=None if offsets is None else text,
            offsets=offsets,
            file=str(self.path),
            line=block.rows[0].line,
            document=document,
            unused=unused,
            heads=_heads(words),
            word_lines=[row.line for row in words],
        )

    def _tag(self, row: _ConlluRow) -> str:
        name, _, key = self.column.partition(":")
        if key:
            tag = _pairs(row.fields[_KEYED[name]]).get(key)
            default = "O" if name == "misc" else "_"
        else:
            cell = row.fields[_COLUMNS[name]]
            tag, default = (None if cell == "_" else cell), None
        tag = tag or self.missing or default
        if tag is None:
            message = f"word {row.first}, `{row.fields[_FORM]}`, has no {self.column}"
            raise DataError.at(message, self.path, row.line, "`missing: TAG` gives such words a tag")
        return tag


@dataclass(frozen=True, slots=True)
class _ConlluRow:
    line: int
    kind: RowKind
    first: int
    last: int
    fields: list[str]


@dataclass(slots=True)
class _SentenceRows:
    """The rows of one sentence, and the text in its comments."""

    path: Path
    rows: list[_ConlluRow] = field(default_factory=list)
    text: str | None = None
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
        if not fields[_FORM]:
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


def _parse_row(fields: list[str], path: Path, line: int) -> _ConlluRow:
    match = _ID.fullmatch(fields[0])
    if not match:
        raise DataError.at(f"`{fields[0][:40]}` is not an id: expected a number, `1-2` or `1.1`", path, line)
    first = int(match["first"])
    last = int(match["second"] or first)
    kind: RowKind = "word" if not match["kind"] else "range" if match["kind"] == "-" else "empty"
    return _ConlluRow(line, kind, first, last, fields)


def _heads(words: list[_ConlluRow]) -> list[int | None] | None:
    """The index of each word's head; None without a tree, or if a head is not a word."""
    cells = [row.fields[_HEAD] for row in words]
    if not all(cell.isascii() and cell.isdigit() and int(cell) <= len(words) for cell in cells):
        return None
    return [int(cell) - 1 if int(cell) else None for cell in cells]


def _pairs(cell: str) -> dict[str, str]:
    """The pairs of FEATS or MISC."""
    return dict(pair.split("=", 1) for pair in cell.split("|") if "=" in pair)


def _surface_text(rows: list[_ConlluRow]) -> str:
    """The text of the rows, with spaces according to SpaceAfter=No."""
    pieces, covered = [], 0
    for row in rows:
        if row.kind == "empty" or (row.kind == "word" and row.first <= covered):
            continue
        covered = max(covered, row.last)
        space = "" if _pairs(row.fields[_MISC]).get("SpaceAfter") == "No" else " "
        pieces.append(row.fields[_FORM] + space)
    return "".join(pieces).rstrip(" ")


def _locate(words: list[str], text: str) -> list[tuple[int, int]] | None:
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
