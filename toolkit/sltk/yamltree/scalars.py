"""Scalars that remember their text, and the folder that relative paths in them start from.

`unmask: 0111` is a mask, not the number 111, so its text is needed as well as its value.
A relative path starts from the folder of the file that contains it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..files.paths import expanded


class SourceScalar:
    """Mixin: `source` is the text of the scalar, `base` the folder that relative paths start from.

    `written` is the text in the file, which differs from `source` if that holds values of environment variables.
    """

    source: str
    base: Path
    written: str


class SourceStr(str, SourceScalar):
    """A string that remembers its text."""


class SourceInt(int, SourceScalar):
    """An integer that remembers its text."""


class SourceFloat(float, SourceScalar):
    """A float that remembers its text."""


_WITH_SOURCE: dict[type, Any] = {str: SourceStr, int: SourceInt, float: SourceFloat}
_WITHOUT_SOURCE: dict[type, Any] = {kind: plain_kind for plain_kind, kind in _WITH_SOURCE.items()}


def with_source(value: Any, source: str, base: Path, written: str | None = None) -> Any:
    """`value` with its source text and base folder; booleans and None are returned unchanged."""
    if type(value) not in _WITH_SOURCE:
        return value
    scalar = _WITH_SOURCE[type(value)](value)
    scalar.source, scalar.base, scalar.written = source, base, source if written is None else written
    return scalar


def source_text(value: Any) -> Any:
    """The source text of a scalar that has one, otherwise the value itself."""
    return value.source if isinstance(value, SourceScalar) else value


def written_text(value: Any) -> Any:
    """The text of a scalar as its file has it, with the names of environment variables and not their values."""
    return value.written if isinstance(value, SourceScalar) else value


def plain(value: Any) -> Any:
    """The value as plain dicts, lists and scalars without source texts; paths become absolute text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    return _WITHOUT_SOURCE[type(value)](value) if type(value) in _WITHOUT_SOURCE else value


def resolve_path(value: Any) -> Any:
    """Make a path, or a list of paths, absolute, starting from the folder of the file that contains it."""
    if isinstance(value, list):
        return [resolve_path(item) for item in value]
    if not isinstance(value, str):
        return value
    path = expanded(value)
    if path.is_absolute() or not isinstance(value, SourceScalar):
        return path
    return _normalized(value.base / path)


def _normalized(path: Path) -> Path:
    """`a/../b` as `b`, unless symbolic links make that a different place."""
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def resolve_import(value: Any) -> Any:
    """Resolve an item of `imports:`: a file (`….py`) like any path; the name of a module stays unchanged."""
    return resolve_path(value) if is_python_file(value) else value


def is_python_file(item: object) -> bool:
    """Whether an item of `imports:` is a file, not the name of a module."""
    return str(item).endswith(".py") or "/" in str(item)
