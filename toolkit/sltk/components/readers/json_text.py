"""JSON values of a text file: one per line, over several lines each, or in one array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ...errors import DataError
from ...files.text_lines import TextLines

_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PIECE = 1 << 20  # characters of a line that are read at once
_LONGEST_TOKEN = 12  # of those that the end of a piece makes invalid: two escapes `\\u1234`


class JsonText:
    """The JSON values of a file, parsed one after the other; holds the text of one value.

    Where lenient parsing could lose data, it is strict: repeated keys and halves of surrogate pairs are errors.
    """

    def __init__(self, lines: TextLines) -> None:
        self.path, self._pieces = lines.path, lines.pieces(_PIECE)
        self.is_array = False
        """Whether the file is one array; known with the first value."""
        self._text, self._place = "", 0
        # The line at character `_counted`, and the number of characters of that line before `_text`.
        self._line, self._counted, self._dropped = 1, 0, 0

    @property
    def line(self) -> int:
        """The line of the next character to parse."""
        self._line += self._text.count("\n", self._counted, self._place)
        self._counted = self._place
        return self._line

    def values(self) -> Iterator[tuple[int, Any]]:
        """Yield the line where each value begins, and the value.

        Raises:
            DataError: the file is neither values, one after the other, nor one array.
        """
        self.is_array = self._next() == "["
        if self.is_array:
            self._place += 1
            yield from self._array()
            if self._next():
                raise self._error("more text after the end of the array")
        while following := self._next():
            if following == ",":
                raise self._more_text("objects with commas between them need `[` and `]` around them")
            line, value = self.line, self._value()
            self._check_rest_of_line()
            yield line, value

    def _array(self) -> Iterator[tuple[int, Any]]:
        is_last = self._next() == "]"
        self._place += is_last
        while not is_last:
            self._next()
            yield self.line, self._value()
            character = self._next()
            if character not in (",", "]"):
                raise self._error("expected `,` or `]`")
            self._place += 1
            is_last = character == "]"

    def _next(self) -> str:
        """Skip white space, and return the next character; an empty string at the end of the file."""
        self._skip_blanks()
        while self._place == len(self._text) and self._read(1):
            self._skip_blanks()
        return self._text[self._place : self._place + 1]

    def _skip_blanks(self) -> None:
        match = _BLANK.match(self._text, self._place)
        assert match is not None
        self._place = match.end()

    def _check_rest_of_line(self) -> None:
        """Check that nothing but an object or a comma follows a value on its line."""
        line = self.line
        self._skip_blanks()
        if self._text[self._place : self._place + 1] not in ("", "{", ",") and self.line == line:
            raise self._more_text()

    def _more_text(self, *notes: str) -> DataError:
        return self._error(f"more text after the object, at column {self._column(self._place)}", *notes)

    def _read(self, least: int) -> bool:
        """Drop the text before the next value, and append `least` characters or more; False at the end of the file."""
        pieces, size = [""], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= least:
                break
        if size:
            line, dropped = self.line, self._column(self._place) - 1
            pieces[0] = self._text[self._place :]
            self._text, self._place = "".join(pieces), 0
            self._line, self._counted, self._dropped = line, 0, dropped
        return size > 0

    def _value(self) -> Any:
        """The next value; while the text ends inside it, its length is doubled, so that time is linear."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
                if _SURROGATE.search(self._text, self._place, end):
                    json.dumps(value, ensure_ascii=False).encode()
            except json.JSONDecodeError as error:
                if not self._is_cut(error) or not self._read(len(self._text) - self._place):
                    raise self._syntax_error(error) from error
            except (RecursionError, ValueError) as error:
                raise self._error(_reason(error)) from error
            else:
                self._place = end
                return value

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the value may be complete with the text that follows."""
        is_inside = not self._text.endswith("\n")
        if is_inside and (
            error.msg.startswith("Unterminated") or len(self._text) - error.pos <= _LONGEST_TOKEN
        ):
            return True
        return not self._text[error.pos :].strip(" \t\r\n")

    def _syntax_error(self, error: json.JSONDecodeError) -> DataError:
        line = self._line_at(error.pos)
        notes = [f"in the object that begins in line {self.line}"] if line > self.line else []
        if self._text[error.pos : error.pos + 1] == "'":
            notes.append("JSON has double quotes around strings; single quotes are the notation of Python")
        message = f"not valid JSON: {error.msg} (column {self._column(error.pos)})"
        return DataError.at(message, self.path, line, *notes)

    def _line_at(self, place: int) -> int:
        """The line of a character; at the end of the file that of the last visible one."""
        if not self._text[place:].strip():
            place = len(self._text.rstrip())
        before, after = sorted((place, self._place))
        lines = self._text.count("\n", before, after)
        return self.line + (lines if place > self._place else -lines)

    def _column(self, place: int) -> int:
        newline = self._text.rfind("\n", 0, place)
        return place - newline + (self._dropped if newline < 0 else 0)

    def _error(self, message: str, *notes: str) -> DataError:
        return DataError.at(message, self.path, self._line_at(self._place), *notes)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without repeated keys: only one of their values could be used."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"an object has the key {excerpt(repeated)} twice")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "JSON nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair, such as \\ud83d, is not a character"
    return f"not valid JSON: {error}"  # a repeated key, or a whole number with too many digits


def excerpt(value: Any) -> str:
    """A value as JSON, shortened for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 40 else text[:40] + "…"
