"""Scalars that remember how they were written, and where a relative path in them starts.

A YAML loader gives a value; sltk sometimes needs the text: `unmask: 0111` is a mask and not the number 111.
And a relative path means a path from the folder of the file that wrote it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Written:
    """Mixin: `source` is the text as written, `base` the folder that relative paths start from."""

    source: str
    base: Path


class WrittenStr(str, Written):
    """A string that remembers how it was written."""


class WrittenInt(int, Written):
    """An integer that remembers how it was written."""


class WrittenFloat(float, Written):
    """A float that remembers how it was written."""


def written(value: Any, source: str, base: Path) -> Any:
    """`value`, remembering its source text and base folder; booleans and None as they are."""
    kinds: dict[type, type] = {str: WrittenStr, int: WrittenInt, float: WrittenFloat}
    kind = kinds.get(type(value))
    if kind is None:
        return value
    marked = kind(value)
    marked.source, marked.base = source, base
    return marked


def source_text(value: Any) -> Any:
    """The text as written where it is known, else the value itself."""
    return value.source if isinstance(value, Written) else value


def resolve_path(value: Any) -> Any:
    """A path, or a list of paths, made absolute against the folder of the file that wrote it."""
    if isinstance(value, list):
        return [resolve_path(item) for item in value]
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser()
    if path.is_absolute() or not isinstance(value, Written):
        return path
    return _without_detours(value.base / path)


def resolve_import(value: Any) -> Any:
    """One item of `imports:`: a file (`….py`) resolved like any path, the name of a module as it is."""
    return resolve_path(value) if is_python_file(value) else value


def is_python_file(item: object) -> bool:
    """Whether an item of `imports:` is a file and not the name of a module."""
    return str(item).endswith(".py") or "/" in str(item)


def _without_detours(path: Path) -> Path:
    """`a/../b` as `b`, unless a link makes that another place."""
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def plain(value: Any) -> Any:
    """The value without its memory of how it was written, all the way down."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    kinds: dict[type, Any] = {WrittenStr: str, WrittenInt: int, WrittenFloat: float}
    return kinds[type(value)](value) if type(value) in kinds else value
