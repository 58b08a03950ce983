"""Check that output can be written before any work is done for it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..errors import Problem, UsageError
from .data_files import all_files
from .paths import descriptor
from .safety import encodable

_LONGEST_NAME = 255
"""Bytes that file systems allow for a name."""


def check_file(path: Path) -> None:
    """Check that a file can be written, without changing anything. Devices and pipes are allowed.

    Raises:
        UsageError: `path` is a folder, its name is too long, or its folder is not writable.
    """
    if descriptor(path) is not None or (
        os.path.exists(path) and not os.path.isfile(path) and not path.is_dir()
    ):
        return
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise UsageError(f"the name `{path.name[:40]}…` is too long for a file")
    if not path.name or path.is_dir():
        raise UsageError(f"`{path}` is a folder: name a file")
    check_folder(path.parent)


def check_not_read(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Check that no output replaces a file that is read, under any name; `-` is a standard stream.

    Raises:
        UsageError: one does.
    """
    read = {_identity(file, 0) for path in inputs for file in (all_files(path) or [path])}
    for output in outputs:
        identity = _identity(output, 1)
        if identity is not None and identity in read:
            name = "standard output" if str(output) == "-" else f"`{output}`"
            note = "name another file, since the output would replace what is read"
            raise UsageError(Problem(f"{name} is a file that is read", notes=(note,)))


def _identity(path: Path, stream: int) -> tuple[int, int] | None:
    """What all names of a regular file have in common; None for what is no such file, such as a terminal.

    `stream` is the file descriptor that `-` stands for.
    """
    try:
        status = os.stat(stream if str(path) == "-" else path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def check_model_folder(path: Path) -> None:
    """Check that a model can be written to a folder: `check_folder`, and a path that is valid UTF-8.

    The libraries that write weights and tokenizers accept no other paths, and would say so only after training.

    Raises:
        UsageError: see `check_folder`; or a name in the path is not UTF-8.
    """
    if encodable(str(path)) != str(path):
        raise UsageError(
            f"the path `{encodable(str(path))}` is not valid UTF-8: models cannot be written there"
        )
    check_folder(path)


def check_folder(path: Path) -> None:
    """Check that a folder exists or can be created, and is writable, without changing anything.

    Raises:
        UsageError: `path` is a file, is inside a file, or is not writable.
    """
    existing = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    if not existing.is_dir():
        raise UsageError(f"`{existing}` is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"`{existing}` is not writable")
