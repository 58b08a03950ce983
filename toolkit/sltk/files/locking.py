"""Locks on files: held as long as the process lives, and gone with it, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import UsageError


@contextmanager
def held(path: Path, *, shared: bool = False, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock on `path` inside; `shared` ones get along with each other. Waits `wait` seconds at most.

    Raises:
        UsageError: another process holds it; says which.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _lock(file, path, shared, wait)
        if not shared:
            file.truncate(0)
            file.write(json.dumps({"process": os.getpid(), "host": platform.node()}))
            file.flush()
        yield


def _lock(file: IO[str], path: Path, shared: bool, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise UsageError(f"{_holder(file)} holds `{path}`; wait for it, or end it") from None
            time.sleep(0.05)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        values = json.loads(file.read())
        return f"process {values['process']} on {values['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
