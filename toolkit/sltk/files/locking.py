"""Locks on files, which the operating system releases when the process ends.

Some network file systems, such as Lustre mounted without `flock`, have no locks. Work goes on there with a warning.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import UsageError

_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def lock(
    path: Path,
    *,
    shared: bool = False,
    wait: float = 0.0,
    temporary: bool = False,
    subject: Path | None = None,
) -> Iterator[None]:
    """Hold a lock on the file `path`; any number of `shared` locks can be held at once.

    Warns (RuntimeWarning) if the file system has no locks.

    Args:
        path: the file, which is created; links are not followed.
        shared: allow other shared locks.
        wait: seconds to wait for another holder at most.
        temporary: remove the file at the end.
        subject: what the lock protects, for messages; by default `path`.

    Raises:
        UsageError: another process holds the lock; the message names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _acquired(path, kind, wait, subject or path) as file:
        holder = "" if shared else json.dumps({"process": os.getpid(), "host": platform.node()})
        with suppress(OSError):  # a full disk: the lock holds, but its holder has no name
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), holder.encode(), 0)
        try:
            yield
        finally:
            if temporary:
                _remove(path, file)


def _acquired(path: Path, kind: int, wait: float, subject: Path) -> IO[str]:
    """The locked file."""
    deadline = time.monotonic() + wait
    while True:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            if _is_at(path, file):
                return file
        except BlockingIOError:
            if time.monotonic() >= deadline:
                message = f"{_holder(file)} holds `{subject}`; wait for it, or stop it"
                file.close()
                raise UsageError(message) from None
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                file.close()
                raise
            message = (
                f"the file system of `{subject}` has no locks ({error.strerror}): "
                "make sure that no other process writes there"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=4)
            return file
        file.close()


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether a locked file is still the one at its path: its last holder may have removed it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _remove(path: Path, file: IO[str]) -> None:
    """Remove the file of a lock, unless others share the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    path.unlink(missing_ok=True)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        values = json.loads(file.read())
        return f"process {values['process']} on {values['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
