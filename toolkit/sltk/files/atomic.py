"""Write files and folders atomically: they appear completely or not at all.

Temporary names are random, and must not exist yet, so that a link planted in a shared folder is never followed. A
link at the path itself is followed: its target is replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from .disk_space import disk_errors
from .paths import descriptor, resolved
from .safety import json_text

_LONGEST_NAME = 200
"""Bytes of a file name that still leave room for a suffix."""
_PARTIAL = re.compile(r"\..*\.(partial-.*|old(-.*)?)", re.DOTALL)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces `path` once all of it is on disk; after an exception nothing has changed.

    If `path` is a link, its target is replaced. Devices, pipes and open streams (`/dev/stdout`) are written to
    directly.
    """
    stream = descriptor(path)
    if stream is not None or (path.exists() and not path.is_file()):
        with open(path if stream is None else os.dup(stream), "w", encoding="utf-8", newline="\n") as output:
            yield output
        return
    with _replacing(path, "x", encoding="utf-8", newline="\n") as file:
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file."""
    with _replacing(path, "xb") as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, **options: Any) -> Iterator[Any]:
    """Open a temporary file that replaces `path`, or the target of that link, at the end."""
    path = resolved(path)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _sibling(path, "partial")
        try:
            with open(partial, mode, **options) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync(path.parent)


def _sibling(path: Path, kind: str) -> Path:
    """A hidden path next to `path` that nobody can predict."""
    is_short = len(os.fsencode(path.name)) < _LONGEST_NAME
    name = path.name if is_short else hashlib.sha1(os.fsencode(path)).hexdigest()
    return path.with_name(f".{name}.{kind}-{secrets.token_hex(8)}")


def append(path: Path) -> int:
    """Open a file to append to it, and return its file descriptor; a link in its place is not followed."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with open_text(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, indented, without escaping characters outside ASCII."""
    write_text(path, json_text(value, indent=2) + "\n")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Create a folder that replaces `folder` once all of it is on disk; after an exception nothing has changed.

    If `folder` is a link, its target is replaced.
    """
    folder = resolved(folder)
    with disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = _sibling(folder, "partial")
        partial.mkdir()
    try:
        with disk_errors(folder.parent):  # inside, because a full disk can only be seen before it is cleared
            yield partial
            publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, folder: Path) -> None:
    """Sync a finished folder to disk, and move it to `folder`. The umask decides who can read its files."""
    readers = partial.stat().st_mode & 0o444
    for path in [*partial.rglob("*"), partial]:
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode | readers)  # safetensors writes files that only the owner can read
        sync(path)
    if folder.exists():
        retired = _sibling(folder, "old")
        folder.rename(retired)
        partial.rename(folder)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        partial.rename(folder)
    sync(folder.parent)


def is_partial(name: str) -> bool:
    """Whether a file or folder of this name is left over from a process that was killed while writing."""
    return _PARTIAL.fullmatch(name) is not None


def remove(path: Path) -> None:
    """Remove a file or folder if it exists. A folder is renamed first, so that it is never half removed."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    retired = path if is_partial(path.name) else _sibling(path, "old")
    if retired != path:
        path.rename(retired)
    shutil.rmtree(retired)


def sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
