"""Check that output can be written before any work is done for it."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError

_LONGEST_NAME = 255
"""Bytes that file systems allow for a name."""


def check_file(path: Path) -> None:
    """Check that a file can be written, without changing anything. Devices and pipes are allowed.

    Raises:
        UsageError: `path` is a folder, its name is too long, or its folder is not writable.
    """
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise UsageError(f"the name `{path.name[:40]}…` is too long for a file")
    if not path.name or path.is_dir():
        raise UsageError(f"`{path}` is a folder: name a file")
    check_folder(path.parent)


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
