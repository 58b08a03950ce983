"""The interface between a sweep and its executor: jobs to run, and callbacks for their outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ..errors import DiskFullError, InputError, OutOfMemoryError
from ..files.disk_space import is_disk_full as is_disk_full


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as plain values that can be sent to another process."""

    name: str
    spec: dict[str, Any]
    """The resolved spec of the run, as a mapping."""
    folder: str
    """Its run directory, as an absolute path."""
    log: str
    """The file that receives the output of the process, as an absolute path."""
    lock: str
    """The file that is locked while the run is running, as an absolute path."""
    force: bool = False
    """Replace an existing run instead of resuming it."""

    function: str = "sltk.run:train"
    """Called with spec, folder, `resume`, `force`, `progress` and `options`; returns the metrics."""
    options: dict[str, Any] = field(default_factory=dict)
    """Also plain values."""
    preload: str = ""
    """A module to import first: what it loads is shared by all runs of a process, and never freed."""


@dataclass(frozen=True)
class Failure:
    """The reason why a run failed. If the disk is full, the sweep stops, and the run does not count as failed."""

    kind: Literal["error", "disk full"]
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception represents."""
        message = (
            str(error)
            if isinstance(error, InputError | DiskFullError | OutOfMemoryError)
            else f"{type(error).__name__}: {error}"
        )
        if is_disk_full(error):
            return cls("disk full", message.strip().partition("\n")[0])
        return cls("error", message.strip())


class Work(Protocol):
    """The runs to execute. An executor takes one whenever it has capacity, and reports its outcome.

    All calls come from one thread.
    """

    folder: Path
    """The folder of the sweep."""
    planned: int
    """Number of selected runs, finished or not."""
    limit: int | None
    """Maximum number of runs to start."""
    arguments: list[str]
    """The command-line arguments that select runs: `--only seed=120`."""

    def next(self) -> Job | None:
        """The next run to execute; None if no run is waiting. After `died`, a run may be waiting again."""

    def report(self, name: str, event: Mapping[str, Any]) -> None:
        """Report the progress of a run: `{"event": "started" | "step" | "logged" | "note", …}`."""

    def finished(self, name: str, metrics: dict[str, Any]) -> None:
        """Report a finished run; its run directory is complete."""

    def failed(self, name: str, failure: Failure) -> None:
        """Report a run that failed with an error; its process is still alive."""

    def died(self, name: str, reason: str) -> None:
        """Report that the process, or the node, of a run died."""

    def tick(self) -> None:
        """Update the display; called regularly."""

    def note(self, message: str) -> None:
        """Show a message to the user."""


_is_executing = False


@contextmanager
def executing() -> Iterator[None]:
    """Mark what happens inside the context as a run of a sweep."""
    global _is_executing
    before, _is_executing = _is_executing, True
    try:
        yield
    finally:
        _is_executing = before


def is_executing() -> bool:
    """Whether this process is executing a run of a sweep."""
    return _is_executing


def dispatch(event: Mapping[str, Any], name: str, work: Work) -> None:
    """Pass an event of a run on to the method of `work` for it."""
    kind = event["event"]
    if kind == "finished":
        work.finished(name, event["metrics"])
    elif kind == "failed":
        work.failed(name, Failure(event["kind"], event["message"]))
    elif kind == "died":
        work.died(name, event["reason"])
    else:
        work.report(name, event)
