"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_ROOMY = 200
"""Bytes of a file's name that something may be added to."""


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A text file that takes the place of `path` when all of it is on disk; on an error nothing changes.

    What a link points at is replaced, not the link; into a device or a pipe the text is written as it comes.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    with _partial(path.resolve()) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole binary file at once."""
    with _partial(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """Where to write what then takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name nearly too long for the file system has no room for more.
    name = path.name if len(os.fsencode(path.name)) < _ROOMY else hashlib.sha1(os.fsencode(path)).hexdigest()
    partial = path.with_name(f".{name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a whole file at once."""
    with writing(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented, with characters as they are."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when all of it is on disk; on an error nothing changes."""
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
    """Bring a finished folder to disk, and put it where `folder` is to be."""
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
    """Whether a file or folder of this name was left behind by a process that was killed while writing."""
    return name.startswith(".") and (".partial-" in name or name.endswith(".old"))


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one. A folder is renamed first: none is seen half removed."""
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
