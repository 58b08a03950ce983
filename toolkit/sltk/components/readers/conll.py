"""Column files: one word per line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ...errors import DataError
from ...files.opening import is_stream
from ...files.text_lines import TextLines
from ...types import Sentence, Span, Unused
from ..registry import register
from ..slots import TaggedReader
from .brackets import BracketError, spans_of
from .separators import Separator, separator_text
from .tag_columns import joined
from .text_file import TextFileReader

_BLANKS = re.compile(r"[ \t]+")
_NAMED_DOCUMENT = re.compile(r"document \((\S+)\); part (\d+)")


@register.reader("conll")
class ConllReader(TaggedReader, TextFileReader):
    """One word per line in columns, a blank line between sentences (CoNLL-2000, CoNLL-2003 and similar formats).

    `labels: brackets` reads spans in the notation of CoNLL-2012 (OntoNotes): `(PERSON*`, `*)`, `(GPE)`.
    """

    word_column: int = Field(
        default=0, description="column of the word, from 0; negative numbers count from the right"
    )
    label_column: int | Annotated[list[int], Field(min_length=2)] | None = Field(
        default=-1,
        description="column of the tag; several columns: the spans of all of them, which may overlap; null: words "
        "without annotation",
    )
    labels: Literal["tags", "brackets"] = Field(
        default="tags", description="content of the label column: one tag per word, or brackets around spans"
    )
    separator: Separator | None = Field(
        default=None,
        description="separator of columns: `tab`, `space`, or literal text; unset: any white space",
    )
    comment: str | None = Field(
        default=None,
        min_length=1,
        description="skip lines that begin with this; unset: no line is a comment, so words may begin with #",
    )
    document_marker: str | None = Field(
        default="-DOCSTART-",
        description="first column of the lines that begin a document, such as `#begin` in CoNLL-2012; null: no line "
        "begins one",
    )

    @model_validator(mode="after")
    def _brackets_have_a_column(self) -> ConllReader:
        if self.labels == "brackets" and self.label_column is None:
            raise ValueError("`labels: brackets` needs a `label_column`")
        return self

    @model_validator(mode="after")
    def _several_columns_have_spans(self) -> ConllReader:
        if not isinstance(self.label_column, list):
            return self
        if self.labels == "brackets" or self.scheme in ("plain", "layers"):
            key = "labels: brackets" if self.labels == "brackets" else f"scheme: {self.scheme}"
            raise ValueError(f"several columns have one tag of a span per word each: leave out `{key}`")
        for key in ("tag_names", "outside", "missing"):
            if getattr(self, key) is not None:
                raise ValueError(f"`{key}` is for one `label_column`, and there are {len(self.label_column)}")
        return self

    @property
    def has_annotation(self) -> bool:
        """Whether there is a column of tags."""
        return self.label_column is not None

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: the file cannot be read, a line has too few columns, or brackets do not match.
        """
        if isinstance(self.label_column, list):
            yield from self._read_columns(self.label_column)
            return
        lines = self.open()
        rows = _SentenceBuilder(self, lines, self.label_column)
        documents = 0
        for number, line in lines:
            if not line or not line.strip(" \t"):
                yield from rows.finish()
            elif self.comment and line.startswith(self.comment):
                continue
            elif self._begins_document(line):
                yield from rows.finish()
                documents += 1
                rows.document = _document_name(line) or str(documents)
            else:
                rows.add(number, line)
        yield from rows.finish()

    def _read_columns(self, columns: list[int]) -> Iterator[Sentence]:
        """The sentences with the spans of several columns; all of them are in memory, to detect their schemes."""
        if is_stream(self.path):
            raise DataError.at("a stream cannot be read once per column: give a file", self.path)
        parts = {
            column: list(self.model_copy(update={"label_column": column}).read_file()) for column in columns
        }
        yield from joined(parts, self.path, self.scheme, self.tag_style, self.repair)

    def _begins_document(self, line: str) -> bool:
        marker = self.document_marker
        return bool(marker) and line.startswith(marker or "") and self.split_function()(line)[0] == marker

    def split_function(self) -> Callable[[str], list[str]]:
        """The function that splits a line into columns."""
        if self.separator is None:
            return split_blanks
        separator = separator_text(self.separator)
        return lambda line: line.split(separator)


def _document_name(line: str) -> str | None:
    """`NAME_PART` from CoNLL-2012's `#begin document (NAME); part PART`."""
    match = _NAMED_DOCUMENT.search(line)
    return f"{match[1]}_{match[2]}" if match else None


def split_blanks(line: str) -> list[str]:
    """Columns between runs of spaces and tabs; no-break spaces and control characters belong to words."""
    if line.isascii() and line.replace("\t", " ").isprintable():
        return line.split()  # the same result, faster
    return _BLANKS.split(line.strip(" \t"))


def _reach(column: int) -> int:
    """How many columns a file needs to have this one."""
    return column + 1 if column >= 0 else -column


class _SentenceBuilder:
    """Collects the rows of a sentence."""

    def __init__(self, reader: ConllReader, lines: TextLines, label_column: int | None) -> None:
        self.reader, self.lines = reader, lines
        self.split = reader.split_function()
        self.word, self.label = reader.word_column, label_column
        self.document: str | None = None
        self._start()

    def _start(self) -> None:
        self.words: list[str] = []
        self.tags: list[str] = []
        self.word_lines: list[int] = []
        self.width = 0
        self.mixed: Unused | None = None

    def add(self, number: int, line: str) -> None:
        """Add a row.

        Raises:
            DataError: the row has too few columns, not as many as the first row of its sentence, or an empty tag.
        """
        fields = self.split(line)
        if "\t" in line and self.reader.separator is None:
            self._check_blanks(number, line, len(fields))
        if len(fields) != self.width:
            self._check_width(number, line, len(fields))
        self.words.append(fields[self.word])
        self.word_lines.append(number)
        if self.label is not None:
            tag = fields[self.label]
            if not tag and self.reader.labels == "tags" and self.reader.missing is None:
                raise self._empty_tag(number, self.label % len(fields), len(fields))
            self.tags.append(tag)

    def _check_blanks(self, number: int, line: str, width: int) -> None:
        """Report, once per sentence, a line with tabs in which a space also separates columns, or begins the line."""
        if self.mixed is None and (width > line.count("\t") + 1 or not line.partition("\t")[0].strip(" ")):
            reason = "columns are split at spaces, too; `separator: tab` keeps words with spaces, or of spaces, whole"
            self.mixed = Unused(str(self.reader.path), number, reason, adjusted=True)

    def _empty_tag(self, number: int, column: int, width: int) -> DataError:
        is_last = column == width - 1
        notes = ["`missing: O` reads words with an empty tag as `O`"]
        if is_last and width > 2:
            advice = f"`label_column: {column - 1}` names the column before, if lines end with a separator"
            notes.insert(0, advice)
        which = "the last column" if is_last else f"column {column}, that of the tags,"
        return DataError.at(f"{which} is empty", self.reader.path, number, *notes)

    def _check_width(self, number: int, line: str, width: int) -> None:
        """Set the number of columns from the first row of a sentence, or raise an error at another row.

        Rows of words alone need their word: what follows it is not read.
        """
        columns = [column for column in (self.word, self.label) if column is not None]
        least = max(len(columns), *map(_reach, columns))
        notes = tuple(self._advice(line, width))
        if self.words and self.label is not None:
            message = f"expected {self.width} columns as in line {self.word_lines[0]}, found {width}"
        elif width < least:
            message = f"expected ≥ {least} columns{self._reason(least, len(columns))}, found {width}"
        elif self.label is not None and self.word % width == self.label % width:
            message = (
                f"with {width} columns, word_column {self.word} and label_column {self.label} are the same"
            )
            notes = ()
        else:
            self.width = width
            return
        raise DataError.at(message, self.reader.path, number, *notes)

    def _reason(self, least: int, columns: int) -> str:
        """The key whose column is the farthest, if more columns are needed than are read."""
        keys = {"word_column": self.word, "label_column": self.label}
        farthest = (f"`{key}: {n}`" for key, n in keys.items() if n is not None and _reach(n) == least)
        return f" for {next(farthest)}" if least > columns else ""

    def _advice(self, line: str, width: int) -> Iterator[str]:
        if width == 1 and self.label is not None:
            yield "`label_column: null` reads a file that has only words"
        odd = [char for char in line if char.isspace() and char not in " \t"]
        if width == 1 and odd and not self.reader.separator:
            yield f"U+{ord(odd[0]):04X} does not separate columns, unless it is the `separator`"
        if "\t" in line and not self.reader.separator:
            yield "columns are split at spaces, too: a word or type with a space needs `separator: tab`"
        if not self.reader.comment and any(word.startswith("#") for word in self.words):
            yield "lines that begin with # are words; `comment: '#'` skips them"

    def finish(self) -> Iterator[Sentence]:
        """Yield the sentence, if it has words."""
        if self.words:
            has_tags = self.label is not None and self.reader.labels == "tags"
            yield Sentence(
                self.words,
                self.tags if has_tags else None,
                self._spans() if self.reader.labels == "brackets" else None,
                file=str(self.reader.path),
                line=self.word_lines[0],
                document=self.document,
                unused=(*self.lines.take_replacements(), *((self.mixed,) if self.mixed else ())),
                word_lines=_compact(self.word_lines),
            )
            self._start()

    def _spans(self) -> list[Span]:
        try:
            return spans_of(self.tags)
        except BracketError as error:
            raise DataError.at(str(error), self.reader.path, self.word_lines[error.index]) from error


def _compact(numbers: list[int]) -> Sequence[int]:
    """The same numbers as a range, which takes less memory, if they are consecutive."""
    first, after = numbers[0], numbers[-1] + 1
    return range(first, after) if after - first == len(numbers) else numbers
