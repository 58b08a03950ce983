"""Whether something can be written where it is to be: seen before any work is done for it."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError

_LONGEST = 255
"""Bytes of a name that file systems hold."""


def check_file(path: Path) -> None:
    """See that a file can be written there; changes nothing. Devices and pipes are written into.

    Raises:
        UsageError: it is a folder, its name is too long, or `check_folder` refuses the folder that it is to lie in.
    """
    if len(os.fsencode(path.name)) > _LONGEST:
        raise UsageError(f"the name `{path.name[:40]}…` is too long for a file")
    if not path.name or path.is_dir():
        raise UsageError(f"`{path}` is a folder: name a file")
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """See that a folder is there, or can be made; changes nothing.

    Raises:
        UsageError: it is a file, lies in one, or may not be written in.
    """
    there = next(each for each in (path.absolute(), *path.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise UsageError(f"`{path if there == path.absolute() else there}` is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"nothing may be written in `{there}`")
