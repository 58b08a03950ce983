"""Tables with one sentence per row: lists of words and lists of tags in cells."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ...errors import DataError, nearest
from ...files.sniffing import Content
from ...schemes.styles import NUMBERS_NEED_NAMES
from ...types import Sentence
from ..registry import register
from ..slots import TaggedReader
from .separators import SeparatorCharacter, separator_text
from .text_file import TextFileReader

if TYPE_CHECKING:
    from _csv import Reader as Rows

_NUMBERS = re.compile(r"\s*\[\s*[0-9]{1,9}(?:\s*,\s*[0-9]{1,9})*\s*,?\s*\]\s*")
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# Checked before `literal_eval`, which would read ['a' 'b'], a printed numpy array, as the single string "ab".
_LIST = re.compile(rf"\s*\[\s*(?:{_STRING}\s*(?:,\s*{_STRING}\s*)*,?\s*)?\]\s*", re.DOTALL)

_OPEN_QUOTE = "a cell that begins with a quote has no closing quote"


@register.reader("csv")
class CsvReader(TaggedReader, TextFileReader):
    """One sentence per row: a column of word lists and one of tag lists, written as Python or JSON lists."""

    content: ClassVar[Content] = "table"

    words_column: str = Field(default="tokens", description="name of the column of word lists")
    tags_column: str = Field(default="tags", description="name of the column of tag lists")
    separator: SeparatorCharacter = Field(
        default=",", description="separator of cells: `tab`, `space`, or one character"
    )

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: the file cannot be read, a column is missing, or a cell is not a list of strings.
        """
        csv.field_size_limit(2**31 - 1)  # a long sentence may exceed the default of 131072 characters
        lines = self.open()
        rows = csv.reader(
            (f"{line}\n" for _, line in lines), delimiter=separator_text(self.separator), strict=True
        )
        words_at, tags_at, width = -1, -1, 0
        before = 0
        while (row := self._next(rows, before + 1)) is not None:
            line, before = before + 1, rows.line_num
            if not row:
                continue
            if not width:
                words_at, tags_at, width = self._column(row, "words"), self._column(row, "tags"), len(row)
                continue
            if len(row) != width:
                raise DataError.at(f"expected {width} columns, found {len(row)}", self.path, line)
            words = self._list(row[words_at], self.words_column, line)
            tags = self._labels(row[tags_at], line)
            if len(words) != len(tags):
                raise DataError.at(f"{len(words)} words but {len(tags)} tags", self.path, line)
            yield Sentence(words, tags, file=str(self.path), line=line, unused=lines.take_replacements())

    def _next(self, rows: Rows, line: int) -> list[str] | None:
        """The next row, which begins in this line of the file."""
        try:
            return next(rows, None)
        except csv.Error as error:
            message, notes = _problem(str(error))
            # A quote that is never closed is found at the end of the file.
            line = line if message is _OPEN_QUOTE else rows.line_num
            raise DataError.at(f"not well-formed CSV: {message}", self.path, line, *notes) from error

    def _column(self, header: list[str], which: str) -> int:
        name = getattr(self, f"{which}_column")
        if header.count(name) > 1:
            raise DataError.at(f"the header has {header.count(name)} columns `{name}`", self.path, 1)
        if name in header:
            return header.index(name)
        note = f"columns: {', '.join(header)}; choose with `{which}_column`"
        suggestion = nearest(name, header)
        raise DataError.at(f"no column `{name}` in the header", self.path, 1, note, suggestion=suggestion)

    def _labels(self, cell: str, line: int) -> list[str]:
        """A list of tags: strings, or numbers that `tag_names` names."""
        if not _NUMBERS.fullmatch(cell):
            return self._list(cell, self.tags_column, line)
        if self.tag_names is None:
            message = f"column `{self.tags_column}` is not a list of strings: {cell[:40]}"
            raise DataError.at(message, self.path, line, NUMBERS_NEED_NAMES)
        return re.findall("[0-9]+", cell)

    def _list(self, cell: str, column: str, line: int) -> list[str]:
        if not _LIST.fullmatch(cell):
            excerpt = cell if len(cell) <= 40 else cell[:40] + "…"
            raise DataError.at(f"column `{column}` is not a list of strings: {excerpt}", self.path, line)
        try:
            strings: list[str] = ast.literal_eval(cell.strip())
            "".join(strings).encode()
        except (SyntaxError, ValueError) as error:  # such as `\x` without digits, or half of a surrogate pair
            raise DataError.at(
                f"column `{column}` has an invalid string: {error}", self.path, line
            ) from error
        return strings


def _problem(error: str) -> tuple[str, tuple[str, ...]]:
    """What is wrong with a row, and advice, from the message of Python's parser, which is for programmers."""
    if "end of data" in error:
        return _OPEN_QUOTE, ()
    if "expected after" in error:
        return "text after a closing quote", ("a quote inside a cell in quotes is written twice",)
    if "new-line" in error:
        advice = "end all lines with \\n or \\r\\n, or put the cell in quotes"
        return "a carriage return (\\r) in a cell without quotes", (advice,)
    return error, ()
