"""Objects of JSON files, with typed access and error positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ...errors import DataError, nearest
from ...files.opening import is_stream
from ...files.sniffing import Content
from ...schemes.styles import NUMBERS_NEED_NAMES
from ...types import Sentence, Unused
from .json_text import JsonText, excerpt
from .text_file import TextFileReader


class JsonRecord:
    """One JSON object of a file; a missing key or a value of another type is an error with file, line and path.

    The path, such as `item 12 → entities[3]`, counts items of the file from 1 and of lists from 0. `number` counts
    the objects of the file from 1.
    """

    def __init__(
        self,
        value: Any,
        file: str,
        line: int,
        unused: tuple[Unused, ...] = (),
        path: str = "",
        number: int = 1,
    ) -> None:
        self.file, self.line, self.unused, self.path, self.number = file, line, unused, path, number
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

    def error(self, message: str, *notes: str, suggestion: str | None = None) -> DataError:
        """An error at this object."""
        message = f"{self.path}: {message}" if self.path else message
        return DataError.at(message, self.file, self.line, *notes, suggestion=suggestion)

    def get(self, key: str, kind: type, expected: str) -> Any:
        """The value of a required key, which must be of type `kind`; a bool is not a number."""
        if key not in self.value:
            message = f"no `{key}` in this object; its keys: {', '.join(self.value) or 'none'}"
            raise self.error(message, suggestion=nearest(key, self.value))
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

    def labels(self, key: str, *, named: bool) -> list[str]:
        """A list of tags: strings, or whole numbers if the reader's `tag_names` names them."""
        values = self.get(key, list, "a list of tags")
        if not values or not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            return self.strings(key)
        if not named:
            raise self.error(f"item 1 of `{key}` is {values[0]}, not a string", NUMBERS_NEED_NAMES)
        return [str(value) for value in values]

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
        return JsonRecord(value, self.file, self.line, path=self.path_to(step))

    def path_to(self, step: str) -> str:
        """The path of a part of this object."""
        return f"{self.path} → {step}" if self.path else step


class JsonReader(TextFileReader):
    """A reader of files of JSON objects: one per line, over several lines each, or in one array."""

    content: ClassVar[Content] = "json"

    def annotation_keys(self) -> Sequence[str]:
        """The keys of an object that hold the annotation."""
        return ()

    def annotation_notes(self, sentence: Sentence) -> Iterator[str]:
        """The keys where the reader looks for annotation, and those of the first object."""
        if self.annotation_keys():
            yield f"annotation is read from {' or '.join(f'`{key}`' for key in self.annotation_keys())}"
        if sentence.file is not None and not is_stream(Path(sentence.file)):
            first = next(self.model_copy(update={"path": Path(sentence.file)}).records(), None)
            yield f"the keys of the first object: {', '.join(first.value) if first else 'none'}"

    def records(self) -> Iterator[JsonRecord]:
        """Yield the objects; holds the text of one object.

        Raises:
            DataError: the file is neither JSON objects, one after the other, nor one array of them.
        """
        lines = self.open()
        text = JsonText(lines)
        replaced: list[Unused] = []
        for number, (line, value) in enumerate(text.values(), 1):
            replaced += lines.take_replacements()
            unused = tuple(item for item in replaced if (item.line or 0) <= text.line)
            replaced = replaced[len(unused) :]
            path = f"item {number}" if text.is_array else ""
            yield JsonRecord(value, str(self.path), line, unused, path, number)
