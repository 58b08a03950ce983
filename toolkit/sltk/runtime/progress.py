"""Progress callbacks: pipelines report through them, the command line shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Progress:
    """Callbacks for what happens in a run; subclass it and override what you need. The base class does nothing."""

    def note(self, message: str) -> None:
        """Report a message for the user: what was read, repaired, left out or substituted."""

    def started(self, steps: int, done: int) -> None:
        """Report that training starts, or resumes after `done` of `steps` updates."""

    def step(self, done: int, words: int) -> None:
        """Report that `done` updates are complete; this call has trained on `words` words so far."""

    def logged(self, values: dict[str, Any]) -> None:
        """Report loss and learning rate, or scores (`eval_…`), at `step`."""

    def labelled(self, sentences: int) -> None:
        """Report that this many more sentences have been labelled."""


class RecordedNotes(Progress):
    """Passes notes on to other callbacks, and keeps them in `notes`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Keep a note, and pass it on."""
        self.notes.append(message)
        self._progress.note(message)


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def reporting_to(progress: Progress) -> Iterator[None]:
    """Let `current` return these callbacks inside."""
    token = _current.set(progress)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Progress:
    """The callbacks of the run or command that is executing; outside, callbacks that do nothing."""
    return _current.get() or Progress()
