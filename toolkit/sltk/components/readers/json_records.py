"""JSON files of objects, one per line or in one array: readers, and typed access with error positions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files.text_lines import read_text
from ...types import Unused
from .text_file import TextFileReader

_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonRecord:
    """One JSON object of a file; a missing key or a value of another type is an error with file, line and path.

    The path, such as `item 12 → entities[3]`, counts items of the file from 1 and of lists from 0.
    """

    def __init__(
        self, value: Any, file: str, line: int, unused: tuple[Unused, ...] = (), path: str = ""
    ) -> None:
        self.file, self.line, self.unused, self.path = file, line, unused, path
        if not isinstance(value, dict):
            raise self.error(f"expected an object, found {excerpt(value)}")
        self.value: dict[str, Any] = value

    def __contains__(self, key: str) -> bool:
        """Whether the object has the key, with a value other than null."""
        return self.value.get(key) is not None

    @property
    def origin(self) -> dict[str, Any]:
        """`file`, `line` and `unused` of a sentence made of this object."""
        return {"file": self.file, "line": self.line, "unused": self.unused}

    def error(self, message: str, *notes: str) -> DataError:
        """An error at this object."""
        return DataError.at(f"{self.path}: {message}" if self.path else message, self.file, self.line, *notes)

    def get(self, key: str, kind: type, expected: str) -> Any:
        """The value of a required key, which must be of type `kind`; a bool is not a number."""
        if key not in self.value:
            raise self.error(f"no `{key}` in this object; its keys: {', '.join(self.value) or 'none'}")
        value = self.value[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.error(f"`{key}` is {excerpt(value)}, not {expected}")
        return value

    def name(self, key: str, default: object = None) -> str | None:
        """A number or string as a string; `default` if the object has no such key."""
        value = self.value[key] if key in self else default
        return None if value is None else str(value)

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        value: list[str] = self.get(key, list, "a list of strings")
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                raise self.error(f"item {number} of `{key}` is {excerpt(item)}, not a string")
        return value

    def integer(self, key: str) -> int:
        """A whole number."""
        return int(self.get(key, int, "a whole number"))

    def string(self, key: str) -> str:
        """A string."""
        return str(self.get(key, str, "a string"))

    def records(self, key: str) -> list[JsonRecord]:
        """A list of objects."""
        items = self.get(key, list, "a list of objects")
        return [self.inner(item, f"{key}[{number}]") for number, item in enumerate(items)]

    def record(self, key: str) -> JsonRecord:
        """An object."""
        return self.inner(self.get(key, dict, "an object"), key)

    def inner(self, value: Any, step: str) -> JsonRecord:
        """An object inside this one, which must be a JSON object; `step` is added to the path."""
        return JsonRecord(value, self.file, self.line, path=f"{self.path} → {step}" if self.path else step)


class JsonLinesReader(TextFileReader):
    """A reader of a file with one JSON object per line."""

    def records(self) -> Iterator[JsonRecord]:
        """Yield the objects; empty lines are skipped.

        Raises:
            DataError: a line is not a JSON object.
        """
        lines = self.open()
        for number, line in lines:
            if line.strip():
                value, end = _decode(line, _skip_blanks(line, 0), self.path, number)
                if line[_skip_blanks(line, end) :]:
                    raise DataError.at(f"more text after the object, at column {end + 1}", self.path, number)
                yield JsonRecord(value, str(self.path), number, lines.take_replacements())


class JsonArrayReader(TextFileReader):
    """A reader of a file that is one JSON array of objects."""

    def records(self) -> Iterator[JsonRecord]:
        """Yield the objects; holds the text of the file.

        Raises:
            DataError: the file is not a JSON array of objects; the message names the line.
        """
        text, unused = read_text(self.path, self.encoding, self.encoding_errors)
        place, line, counted, number = _skip_blanks(text, 0), 1, 0, 0
        if not text[place:]:
            return
        if text[place] != "[":
            raise self._error("expected a JSON array of objects: `[`", text, place)
        place = _skip_blanks(text, place + 1)
        more = text[place : place + 1] != "]"
        while more:
            line, counted, number = line + text.count("\n", counted, place), place, number + 1
            value, place = _decode(text, place, self.path)
            yield JsonRecord(value, str(self.path), line, unused, f"item {number}")
            unused = ()
            place = _skip_blanks(text, place)
            more = text[place : place + 1] == ","
            if more:
                place = _skip_blanks(text, place + 1)
            elif text[place : place + 1] != "]":
                raise self._error("expected `,` or `]`", text, place)
        end = _skip_blanks(text, place + 1)
        if text[end:]:
            raise self._error("more text after the end of the array", text, end)

    def _error(self, message: str, text: str, place: int) -> DataError:
        return DataError.at(message, self.path, text.count("\n", 0, place) + 1)


def _decode(text: str, place: int, path: Path, line: int | None = None) -> tuple[Any, int]:
    """The JSON value at `place`, and its end; `line` is the line of `text` in the file, None for a whole file."""
    try:
        value, end = _DECODER.raw_decode(text, place)
        if _SURROGATE.search(text, place, end):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg} (column {error.colno})"
        raise DataError.at(message, path, line or error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise DataError.at(_reason(error), path, line or text.count("\n", 0, place) + 1) from error
    return value, end


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


def _skip_blanks(text: str, place: int) -> int:
    match = _BLANK.match(text, place)
    assert match is not None
    return match.end()


def excerpt(value: Any) -> str:
    """A value as JSON, shortened for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 40 else text[:40] + "…"
