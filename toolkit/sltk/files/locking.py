"""Locks on files, which the operating system releases when the process ends."""

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
def lock(path: Path, *, shared: bool = False, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock on `path`; any number of `shared` locks can be held at once. Waits for at most `wait` seconds.

    Raises:
        UsageError: another process holds the lock; the message names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, path, shared, wait)
        if not shared:
            file.truncate(0)
            file.write(json.dumps({"process": os.getpid(), "host": platform.node()}))
            file.flush()
        yield


def _acquire(file: IO[str], path: Path, shared: bool, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                message = f"{_holder(file)} holds `{path}`; wait for it, or stop it"
                raise UsageError(message) from None
            time.sleep(0.05)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        values = json.loads(file.read())
        return f"process {values['process']} on {values['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
