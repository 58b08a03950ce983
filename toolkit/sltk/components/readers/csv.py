"""Tables with one sentence per row, in lists of words and of tags, or with one word per row."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ...errors import DataError, nearest
from ...files.sniffing import Content
from ...files.text_lines import TextLines
from ...schemes.styles import NUMBERS_NEED_NAMES
from ...types import Sentence, Unused
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

_ONE_WORD = "if a row is one word, `sentence_column` names the column that says which sentence it belongs to"
_QUOTES_ARE_WORDS = (
    "`quotes: false` reads quotes as characters, if words that are quotes are not in quotes themselves"
)
_OPEN_QUOTE = "a cell that begins with a quote has no closing quote"

_FEWEST = 3
"""Sentences after which the first number means another document, and not one sentence that goes on."""
_MOST_NAMES = 1000
_SEPARATORS = {"\t": "tab", ";": '";"', "|": '"|"', ",": '","'}
"""Usual separators, as they are written in a spec."""

_Place = tuple[str | None, str, int]
"""Document, sentence, and the number of blank rows before."""


@register.reader("csv")
class CsvReader(TaggedReader, TextFileReader):
    """One sentence per row: a column of word lists and one of tag lists, written as Python or JSON lists.

    With `sentence_column`, a row is one word: its cells are the number or name of its sentence, a word and a tag.
    """

    content: ClassVar[Content] = "table"

    words_column: str = Field(default="tokens", description="name of the column of word lists, or of words")
    tags_column: str | None = Field(
        default="tags", description="name of the column of tag lists, or of tags; null: no annotation"
    )
    sentence_column: str | None = Field(
        default=None,
        min_length=1,
        description="name of the column that says which sentence the word of a row belongs to; an empty cell is the "
        "sentence of the row before; unset: a row is a sentence",
    )
    document_column: str | None = Field(
        default=None,
        min_length=1,
        description="name of the column of documents; an empty cell is the document of the row before",
    )
    separator: SeparatorCharacter = Field(
        default=",", description="separator of cells: `tab`, `space`, or one character"
    )
    quotes: bool = Field(
        default=True,
        description="a cell may be in double quotes; false: quotes are characters like others, as in tables of words "
        "that were written without them",
    )

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: the file cannot be read, a column is missing, or a cell is not a list of strings.
        """
        lines = self.open()
        sentences = self._listed(lines) if self.sentence_column is None else self._word_by_word(lines)
        for sentence in sentences:
            sentence.unused = (*sentence.unused, *lines.take_replacements())
            yield sentence

    def _listed(self, lines: TextLines) -> Iterator[Sentence]:
        """The sentences of a table with one of them per row."""
        document: str | None = None
        for line, row in self._rows(lines):
            words = self._list(row[self.words_column], self.words_column, line)
            tags = None if self.tags_column is None else self._labels(row[self.tags_column], line)
            if tags is not None and len(words) != len(tags):
                raise DataError.at(f"{len(words)} words but {len(tags)} tags", self.path, line)
            document = self._document(row) or document
            yield Sentence(words, tags, file=str(self.path), line=line, document=document)

    def _word_by_word(self, lines: TextLines) -> Iterator[Sentence]:
        """The sentences of a table with one word per row."""
        earlier = _EarlierSentences()
        for (document, name, breaks), group in groupby(self._placed(lines), key=itemgetter(0)):
            _, numbers, rows = zip(*group, strict=True)
            tags = None if self.tags_column is None else [row[self.tags_column] for row in rows]
            words = [row[self.words_column] for row in rows]
            sentence = Sentence(
                words, tags, file=str(self.path), line=numbers[0], document=document, word_lines=numbers
            )
            if earlier.has(name, (document, breaks)):
                reason = f"sentence `{name}` was interrupted by others, and is read as several sentences"
                sentence.unused = (Unused(str(self.path), numbers[0], reason, adjusted=True),)
            yield sentence

    def _placed(self, lines: TextLines) -> Iterator[tuple[_Place, int, dict[str, str]]]:
        """Yield document and sentence of each word, with its line; a row of blank cells ends a sentence, too."""
        document, sentence, breaks = None, "", 0
        for line, row in self._rows(lines):
            if not any(map(str.strip, row.values())):
                breaks += 1
                continue
            document = self._document(row) or document
            sentence = row[self.sentence_column or ""].strip() or sentence
            yield (document, sentence, breaks), line, row

    def _document(self, row: dict[str, str]) -> str | None:
        return None if self.document_column is None else row[self.document_column].strip() or None

    def _rows(self, lines: TextLines) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the first line of each row, and its cells in the columns that are read, by their names."""
        csv.field_size_limit(2**31 - 1)  # a long sentence may exceed the default of 131072 characters
        rows = csv.reader(
            (f"{line}\n" for _, line in lines),
            delimiter=separator_text(self.separator),
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=True,
        )
        places: dict[str, int] = {}
        before, width = 0, 0
        while (row := self._next(rows, before + 1)) is not None:
            line, before = before + 1, rows.line_num
            if not row:
                if self.sentence_column is not None and width:
                    yield line, dict.fromkeys(places, "")
            elif not width:
                places, width = self._places(row), len(row)
            elif len(row) != width:
                raise DataError.at(f"expected {width} columns, found {len(row)}", self.path, line)
            else:
                self._check_lines(row, line, before)
                yield line, {name: row[place] for name, place in places.items()}

    def _check_lines(self, row: list[str], line: int, last: int) -> None:
        """Check that a row of one word is one line: a word that is a quote would take in all words to the next one.

        Raises:
            DataError: it takes several lines.
        """
        if self.sentence_column is None or line == last or not any("\n" in cell for cell in row):
            return
        message = f"a cell in quotes goes on to line {last}, but a row is one word"
        raise DataError.at(message, self.path, line, _QUOTES_ARE_WORDS)

    def _next(self, rows: Rows, line: int) -> list[str] | None:
        """The next row, which begins in this line of the file."""
        try:
            return next(rows, None)
        except csv.Error as error:
            message, notes = _problem(str(error))
            # A quote that is never closed is found at the end of the file.
            line = line if message is _OPEN_QUOTE else rows.line_num
            notes = notes if self.sentence_column is None else (*notes, _QUOTES_ARE_WORDS)
            raise DataError.at(f"not well-formed CSV: {message}", self.path, line, *notes) from error

    def _places(self, header: list[str]) -> dict[str, int]:
        """The place of each column that is read."""
        columns = ("words_column", "tags_column", "sentence_column", "document_column")
        names = {column: getattr(self, column) for column in columns}
        return {name: self._place(header, name, column) for column, name in names.items() if name is not None}

    def _place(self, header: list[str], name: str, key: str) -> int:
        if header.count(name) > 1:
            raise DataError.at(f"the header has {header.count(name)} columns `{name}`", self.path, 1)
        if name in header:
            return header.index(name)
        notes = [f"columns: {', '.join(header)}; choose with `{key}`"]
        other = next((each for each in _SEPARATORS if each in header[0]), None) if len(header) == 1 else None
        if other is not None:
            notes = [f"the header is one column: is `separator: {_SEPARATORS[other]}` meant?"]
        suggestion = nearest(name, header)
        raise DataError.at(f"no column `{name}` in the header", self.path, 1, *notes, suggestion=suggestion)

    def _labels(self, cell: str, line: int) -> list[str]:
        """A list of tags: strings, or numbers that `tag_names` names."""
        if not _NUMBERS.fullmatch(cell):
            return self._list(cell, self.tags_column or "", line)
        if self.tag_names is None:
            message = f"column `{self.tags_column}` is not a list of strings: {cell[:40]}"
            raise DataError.at(message, self.path, line, NUMBERS_NEED_NAMES)
        return re.findall("[0-9]+", cell)

    def _list(self, cell: str, column: str, line: int) -> list[str]:
        if not _LIST.fullmatch(cell):
            excerpt = cell if len(cell) <= 40 else cell[:40] + "…"
            message = f"column `{column}` is not a list of strings: {excerpt or 'the cell is empty'}"
            raise DataError.at(message, self.path, line, *([] if "[" in cell else [_ONE_WORD]))
        try:
            strings: list[str] = ast.literal_eval(cell.strip())
            "".join(strings).encode()
        except (SyntaxError, ValueError) as error:  # such as `\x` without digits, or half of a surrogate pair
            raise DataError.at(
                f"column `{column}` has an invalid string: {error}", self.path, line
            ) from error
        return strings


class _EarlierSentences:
    """The sentences of a document that were read before, at most the last thousand.

    Rows of one sentence that are not next to each other are a sign of rows in another order. Numbers that begin again
    with the first one are not: a file may hold several documents.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._first: str | None = None
        self._part: object = None

    def has(self, name: str, part: object) -> bool:
        """Whether this part of the file had a sentence of this name before; from now on, it has."""
        begins_again = name == self._first and len(self._names) >= _FEWEST
        if part != self._part or begins_again:
            self._names, self._first, self._part = {}, name, part
        found = name in self._names
        self._names[name] = None
        if len(self._names) > _MOST_NAMES:
            del self._names[next(iter(self._names))]
        return found


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
