"""JSON objects and the lines they begin at: of an array, or one a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files.text_lines import EncodingErrors, TextLines, read_text
from ...types import Unused

_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _RepeatedKeyError(ValueError):
    """An object has a key twice: whichever value were taken, the other would be lost."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    repeated = next(key for number, key in enumerate(keys) if key in keys[:number])
    raise _RepeatedKeyError(f"an object has the key {shown(repeated)} twice")


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


class JsonRecord:
    """One JSON object of a file; asking it for what it lacks is an error with file, line and path.

    The path, as in `item 12 → entities[3]`, counts items of the file from 1 and of lists from 0.
    """

    def __init__(
        self, value: Any, file: str, line: int, unused: tuple[Unused, ...] = (), path: str = ""
    ) -> None:
        self.file, self.line, self.unused, self.path = file, line, unused, path
        if not isinstance(value, dict):
            raise self.error(f"expected an object, found {shown(value)}")
        self.value: dict[str, Any] = value

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def error(self, message: str, *notes: str) -> DataError:
        """An error at this object."""
        return DataError.at(f"{self.path}: {message}" if self.path else message, self.file, self.line, *notes)

    def get(self, key: str, kind: type | tuple[type, ...], called: str) -> Any:
        """The value of a key, which must be there and of that kind; a bool is no number."""
        if key not in self.value:
            found = ", ".join(self.value) or "none"
            raise self.error(f"no `{key}` in this object; its keys: {found}")
        value = self.value[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.error(f"`{key}` is {shown(value)}, not {called}")
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        value = self.get(key, list, "a list of strings")
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                raise self.error(f"item {number} of `{key}` is {shown(item)}, not a string")
        return list(value)

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
        """A value inside this object, at the same line, one step further."""
        return JsonRecord(value, self.file, self.line, path=self.at(step))

    def at(self, step: str) -> str:
        """The path of what is one step further in."""
        return f"{self.path} → {step}" if self.path else step


def array(path: Path, encoding: str, errors: EncodingErrors) -> Iterator[JsonRecord]:
    """The objects of a file that is one JSON array.

    Raises:
        DataError: the file is no JSON, or no array of objects; names the line.
    """
    text, unused = read_text(path, encoding, errors)
    place, line, seen, number = _skip(text, 0), 1, 0, 0
    if not text[place:]:
        return
    if text[place] != "[":
        raise DataError.at("expected a JSON array of objects: `[`", path, text.count("\n", 0, place) + 1)
    place = _skip(text, place + 1)
    more = text[place : place + 1] != "]"
    while more:
        line, seen, number = line + text.count("\n", seen, place), place, number + 1
        value, place = _decoded(text, place, path)
        yield JsonRecord(value, str(path), line, unused, f"item {number}")
        unused = ()
        place = _skip(text, place)
        more = text[place : place + 1] == ","
        if more:
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            raise DataError.at("expected `,` or `]`", path, text.count("\n", 0, place) + 1)
    end = _skip(text, place + 1)
    if text[end:]:
        raise DataError.at("more text after the end of the array", path, text.count("\n", 0, end) + 1)


def lines(path: Path, encoding: str, errors: EncodingErrors) -> Iterator[JsonRecord]:
    """The objects of a file that has one a line; empty lines are passed over.

    Raises:
        DataError: a line is no JSON object.
    """
    source = TextLines(path, encoding, errors)
    for number, line in source:
        if line.strip():
            value, end = _decoded(line, _skip(line, 0), path, number)
            if line[_skip(line, end) :]:
                raise DataError.at(f"more text after the object, at column {end + 1}", path, number)
            yield JsonRecord(value, str(path), number, source.take_replaced())


def _decoded(text: str, place: int, path: Path, line: int | None = None) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, place)
        if _SURROGATE.search(text, place, end):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg} (column {error.colno})"
        raise DataError.at(message, path, line or error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise DataError.at(_why(error), path, line or text.count("\n", 0, place) + 1) from error
    return value, end


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "JSON nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair, such as \\ud83d, stands alone: it is no character"
    return f"not valid JSON: {error}"  # a whole number may have too many digits


def _skip(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    assert found is not None
    return found.end()


def shown(value: Any) -> str:
    """A value as JSON for a message, cut short."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 40 else text[:40] + "…"
