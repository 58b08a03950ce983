"""Remember Ctrl-C: libraries that are interrupted while they are imported may raise another error instead."""

from __future__ import annotations

import signal
from types import FrameType

_interrupts: list[int] = []


def remember() -> None:
    """Record each interrupt from now on, unless this process ignores them."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _interrupts.append(number)
    raise KeyboardInterrupt


def ignore() -> None:
    """Ignore interrupts from now on: the command has ended, and its exit code is known."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def happened() -> bool:
    """Whether this process was interrupted."""
    return bool(_interrupts)
