"""Paths as the operating system understands them, without errors for those that lead nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

_STREAM = re.compile(r"/dev/(stdout|stderr)|(?:/dev|/proc/self)/fd/(\d+)")


def expanded(path: str | Path) -> Path:
    """The path with `~` replaced by the home folder; a user that does not exist stays part of the name."""
    return Path(os.path.expanduser(path))


def resolved(path: Path) -> Path:
    """The absolute path without links; a link that leads to itself stays a link."""
    return Path(os.path.realpath(path))


def descriptor(path: Path) -> int | None:
    """The file descriptor that a path such as `/dev/stdout` names; None for any other path.

    Opening such a path would open the file behind it again, and write over what others write there.
    """
    match = _STREAM.fullmatch(str(path))
    if match is None or not os.path.exists(path):
        return None
    return int(match[2]) if match[2] else {"stdout": 1, "stderr": 2}[match[1]]
