"""The code that this machine has trained runs with: digests in a file that only the user can write.

A run directory holds copies of its `imports:`. Loading the run executes them, so copies that this machine did not
record need the user's consent: the directory may come from somebody else, or may have been changed since.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..files.paths import expanded

_NAME = "trained_code"


def state_file() -> Path:
    """The file of digests: in `$SLTK_STATE`, otherwise in `$XDG_STATE_HOME/sltk` or `~/.local/state/sltk`."""
    if own := os.environ.get("SLTK_STATE"):
        return expanded(own).absolute() / _NAME
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The specification of these folders says to ignore a relative path.
    folder = home if home.is_absolute() else expanded("~/.local/state")
    return folder / "sltk" / _NAME


def is_recorded(digest: str) -> bool:
    """Whether this machine trained a run with a file of this SHA-256."""
    return digest in _digests()


def record(digests: Iterable[str]) -> None:
    """Remember the SHA-256 of files that a run is trained with.

    Raises:
        OSError: the file cannot be written.
    """
    new = [digest for digest in dict.fromkeys(digests) if digest not in _digests()]
    if not new:
        return
    path = state_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, "".join(f"{digest}\n" for digest in new).encode())
    finally:
        os.close(descriptor)


def _digests() -> frozenset[str]:
    """The recorded digests; none if there is no file, or another user could have written it."""
    try:
        descriptor = os.open(state_file(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, RuntimeError):  # no such file; no home directory
        return frozenset()
    with open(descriptor, encoding="ascii", errors="replace") as file:
        status = os.fstat(descriptor)
        is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        return frozenset(file.read().split()) if is_own and not status.st_mode & 0o022 else frozenset()
