"""Write files and folders atomically: they appear completely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_LONGEST_NAME = 200
"""Bytes of a file name that still leave room for a suffix."""


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces `path` once all of it is on disk; after an exception nothing has changed.

    If `path` is a link, its target is replaced. Devices and pipes are written to directly.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    with _replacing(path.resolve(), "w", encoding="utf-8", newline="\n") as file:
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file."""
    with _replacing(path, "wb") as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, **options: Any) -> Iterator[Any]:
    """Open a temporary file that replaces `path` at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_short = len(os.fsencode(path.name)) < _LONGEST_NAME
    name = path.name if is_short else hashlib.sha1(os.fsencode(path)).hexdigest()
    partial = path.with_name(f".{name}.partial-{os.getpid()}")
    try:
        with open(partial, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with open_text(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, indented, without escaping characters outside ASCII."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Create a folder that replaces `folder` once all of it is on disk; after an exception nothing has changed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, folder: Path) -> None:
    """Sync a finished folder to disk, and move it to `folder`."""
    for path in [*partial.rglob("*"), partial]:
        _sync(path)
    if folder.exists():
        retired = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(retired, ignore_errors=True)
        folder.rename(retired)
        partial.rename(folder)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        partial.rename(folder)
    _sync(folder.parent)


def is_partial(name: str) -> bool:
    """Whether a file or folder of this name is left over from a process that was killed while writing."""
    return name.startswith(".") and (".partial-" in name or name.endswith(".old"))


def remove(path: Path) -> None:
    """Remove a file or folder if it exists. A folder is renamed first, so that it is never half removed."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    retired = path if is_partial(path.name) else path.with_name(f".{path.name}.old")
    if retired != path:
        shutil.rmtree(retired, ignore_errors=True)
        path.rename(retired)
    shutil.rmtree(retired)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
