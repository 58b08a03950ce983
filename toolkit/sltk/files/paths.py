"""Paths as the operating system understands them, without errors for those that lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with `~` replaced by the home folder; a user that does not exist stays part of the name."""
    return Path(os.path.expanduser(path))


def resolved(path: Path) -> Path:
    """The absolute path without links; a link that leads to itself stays a link."""
    return Path(os.path.realpath(path))
