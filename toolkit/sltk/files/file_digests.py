"""SHA-256 of large files that rarely change, cached on disk.

`$SLTK_CACHE/digests.json`, by default `~/.cache/sltk/digests.json`, has one entry per file. An entry counts only while
size, times and inode of the file are the same. `SLTK_CACHE=off` switches the cache off.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import atomic
from .damage import open_regular, read_json
from .paths import expanded, resolved

_SMALL = 2**20
"""Smaller files are read each time: that is faster than looking them up."""
_MAX_ENTRIES = 1000
_RESOLUTION = 2 * 10**9
"""Nanoseconds in which a file may change twice without a change of its times, on the coarsest file systems."""
_storing = threading.Lock()


def cache_folder() -> Path | None:
    """The folder of all caches of sltk; None if caching is off."""
    setting = os.environ.get("SLTK_CACHE")
    if setting == "off":
        return None
    base = Path(setting) if setting else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sltk"
    return expanded(base)


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file.

    Raises:
        FileNotFoundError: the file does not exist.
        UsageError: it is no regular file.
    """
    with open_regular(path) as file:
        state = os.fstat(file.fileno())
        key = [state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        is_small = state.st_size < _SMALL
        cached = None if is_small else _entries().get(str(resolved(path)))
        if isinstance(cached, dict) and cached.get("key") == key:
            return str(cached.get("sha256"))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not is_small and _is_settled(state):
        _store(str(resolved(path)), {"key": key, "sha256": digest})
    return digest


def _is_settled(state: os.stat_result) -> bool:
    """Whether a further change of the file would certainly change its times, which have the resolution of a clock."""
    return time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _RESOLUTION


def _entries() -> dict[str, Any]:
    folder = cache_folder()
    with suppress(UsageError):  # missing or damaged: files are read again
        return read_json(folder / "digests.json") if folder is not None else {}
    return {}


def _store(name: str, entry: dict[str, Any]) -> None:
    """Add an entry; of two processes that do so at once, one may lose its entry, which only costs time."""
    folder = cache_folder()
    if folder is not None:
        with _storing, suppress(OSError):  # a folder that is not writable only costs time
            entries = {**dict(list(_entries().items())[-_MAX_ENTRIES:]), name: entry}
            atomic.write_json(folder / "digests.json", entries)
