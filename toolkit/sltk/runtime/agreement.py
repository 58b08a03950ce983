"""Check that all processes of a run see the same: the run directory, the data, the versions, the newest checkpoint."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import Problem, UsageError
from . import processes

DELAY = 30.0
"""Seconds that a network file system may take to show a file that another machine has written."""


def check_same_file(path: Path, about: str, *advice: str) -> None:
    """Check that all processes find the same content at `path`, which the main process has written.

    Args:
        path: the file; in the processes it may have different names.
        about: what the file shows: "the run directory".
        advice: notes for the error.

    Raises:
        UsageError: some process finds another file or none. All processes raise it.
    """
    if processes.world_size() == 1:
        return
    place = str(path.parent.absolute())
    expected = processes.broadcast((_content(path), place, platform.node()))
    is_same = _appears(lambda: _content(path) == expected[0])
    views = processes.gather_objects((is_same, place, platform.node()))
    for rank, (is_found, own_place, host) in enumerate(views):
        if not is_found:
            message = f"rank {rank} ({host}) does not see {about} of rank 0 ({expected[2]})"
            places = f"rank 0 uses `{expected[1]}`, rank {rank} `{own_place}`"
            raise UsageError(Problem(message, notes=(places, *advice)))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _appears(is_there: Callable[[], bool]) -> bool:
    """Whether a condition becomes true within `DELAY`."""
    deadline = time.monotonic() + DELAY
    while not is_there():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return True


def check_same_values(values: Mapping[str, Any], *advice: str) -> None:
    """Check that each value is the same in all processes; the keys name them in the error.

    Raises:
        UsageError: a value differs. All processes raise it.
    """
    everywhere = processes.gather_objects((dict(values), platform.node()))
    expected, first_host = everywhere[0]
    problems = []
    for rank, (found, host) in enumerate(everywhere):
        for name in expected:
            if found[name] != expected[name]:
                about = f"{name} differs between the processes of the run"
                notes = (
                    f"{expected[name]} on rank 0 ({first_host})",
                    f"{found[name]} on rank {rank} ({host})",
                )
                problems.append(Problem(about, notes=(*notes, *advice)))
    if problems:
        raise UsageError(problems[0])
