"""Columns: one word a line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field, model_validator

from ...errors import DataError
from ...files.text_lines import TextLines
from ...types import Sentence, Span
from ..registry import register
from ..slots import TaggedReader
from .base import TextFileReader
from .brackets import BracketError, spans_of

_BLANKS = re.compile(r"[ \t]+")
_NAMED_DOCUMENT = re.compile(r"document \((\S+)\); part (\d+)")
_NAMED_SEPARATORS = {"tab": "\t", "space": " "}


@register.reader("conll")
class ConllReader(TaggedReader, TextFileReader):
    """One word a line in columns, a blank line between sentences (CoNLL-2000, CoNLL-2003 and kin).

    `labels: brackets` reads spans as CoNLL-2012 (OntoNotes) writes them: `(PERSON*`, `*)`, `(GPE)`.
    """

    word_column: int = Field(
        default=0, description="column of the word, from 0; negative counts from the right"
    )
    label_column: int | None = Field(default=-1, description="column of the tag; null reads words alone")
    labels: Literal["tags", "brackets"] = Field(
        default="tags", description="what the label column holds: a tag a word, or brackets around spans"
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        description="between columns: tab, space, or a literal; unset: any white space",
    )
    comment: str | None = Field(
        default=None,
        min_length=1,
        description="lines that begin with this are left out; unset: none, words may begin with #",
    )
    document_marker: str | None = Field(
        default="-DOCSTART-",
        description="a line whose first column is this begins a document; null: no line does; `#begin` in "
        "CoNLL-2012",
    )

    @model_validator(mode="after")
    def _brackets_have_a_column(self) -> ConllReader:
        if self.labels == "brackets" and self.label_column is None:
            raise ValueError("`labels: brackets` needs a `label_column`")
        return self

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: the file cannot be read, a line has too few columns, or brackets do not match.
        """
        lines = self.open()
        columns = _Columns(self, lines)
        documents = 0
        for number, line in lines:
            if not line or not line.strip(" \t"):
                yield from columns.finish()
            elif self.comment and line.startswith(self.comment):
                continue
            elif self._begins_document(line):
                yield from columns.finish()
                documents += 1
                columns.document = _document_name(line) or str(documents)
            else:
                columns.add(number, line)
        yield from columns.finish()

    def _begins_document(self, line: str) -> bool:
        marker = self.document_marker
        return bool(marker) and line.startswith(marker or "") and self.splitting()(line)[0] == marker

    def splitting(self) -> Callable[[str], list[str]]:
        """The function that cuts a line into columns."""
        if self.separator is None:
            return _at_blanks
        separator = _NAMED_SEPARATORS.get(self.separator, self.separator)
        return lambda line: line.split(separator)


def _document_name(line: str) -> str | None:
    """`NAME_PART` for `#begin document (NAME); part PART`, as CoNLL-2012 has it."""
    found = _NAMED_DOCUMENT.search(line)
    return f"{found[1]}_{found[2]}" if found else None


def _at_blanks(line: str) -> list[str]:
    """Columns between runs of blanks and tabs; a no-break space and a control character belong to words."""
    if line.isascii() and line.replace("\t", " ").isprintable():
        return line.split()  # the same, faster
    return _BLANKS.split(line.strip(" \t"))


class _Columns:
    """The sentence being read."""

    def __init__(self, reader: ConllReader, lines: TextLines) -> None:
        self.reader, self.lines = reader, lines
        self.split = reader.splitting()
        self.word, self.label = reader.word_column, reader.label_column
        self.document: str | None = None
        self._start()

    def _start(self) -> None:
        self.words: list[str] = []
        self.tags: list[str] = []
        self.word_lines: list[int] = []
        self.width = 0

    def add(self, number: int, line: str) -> None:
        fields = self.split(line)
        if len(fields) != self.width:
            self._check_width(number, line, len(fields))
        self.words.append(fields[self.word])
        self.word_lines.append(number)
        if self.label is not None:
            self.tags.append(fields[self.label])

    def _check_width(self, number: int, line: str, found: int) -> None:
        """The first line of a sentence sets the number of columns of the others."""
        path = self.reader.path
        if self.words:
            message = f"expected {self.width} columns as in line {self.word_lines[0]}, found {found}"
            raise DataError.at(message, path, number, *self._advice(line, found))
        least = self._least()
        if found < least:
            message = f"expected ≥ {least} columns, found {found}"
            raise DataError.at(message, path, number, *self._advice(line, found))
        if self.label is not None and self.word % found == self.label % found:
            raise DataError.at(
                f"with {found} columns, word_column {self.word} and label_column {self.label} are the same",
                path,
                number,
            )
        self.width = found

    def _least(self) -> int:
        columns = [column for column in (self.word, self.label) if column is not None]
        least = max(column + 1 if column >= 0 else -column for column in columns)
        return max(least, len(columns))

    def _advice(self, line: str, found: int) -> Iterator[str]:
        if found == 1 and self.label is not None:
            yield "a file of words alone is read with `label_column: null`"
        if "\t" in line and not self.reader.separator:
            yield "columns are cut at blanks, too: a word or type with a blank needs `separator: tab`"

    def finish(self) -> Iterator[Sentence]:
        """The sentence so far, if it has words."""
        if self.words:
            has_tags = self.label is not None and self.reader.labels == "tags"
            yield Sentence(
                self.words,
                self.tags if has_tags else None,
                self._spans() if self.reader.labels == "brackets" else None,
                file=str(self.reader.path),
                line=self.word_lines[0],
                document=self.document,
                unused=self.lines.take_replaced(),
                word_lines=_compact(self.word_lines),
            )
            self._start()

    def _spans(self) -> list[Span]:
        try:
            return spans_of(self.tags)
        except BracketError as error:
            raise DataError.at(str(error), self.reader.path, self.word_lines[error.index]) from error


def _compact(numbers: list[int]) -> Sequence[int]:
    """The same numbers; in little memory where no comment stands between them."""
    first, after = numbers[0], numbers[-1] + 1
    return range(first, after) if after - first == len(numbers) else numbers
