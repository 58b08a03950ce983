"""What an executor is given: runs to do one by one, and someone to tell what became of them."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ..errors import InputError


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as plain values that can be sent to another process."""

    name: str
    spec: dict[str, Any]
    """The resolved spec of the run, as a mapping."""
    folder: str
    """Its run directory, absolute."""
    log: str
    """Where what the process prints is kept, absolute."""
    lock: str
    """The file that is locked while the run is running, absolute."""
    force: bool = False
    """Replace the run that is there, instead of going on with it."""

    function: str = "sltk.run:train"
    """What is called with spec, folder, `resume`, `force`, `progress` and `options`; it gives the metrics."""
    options: dict[str, Any] = field(default_factory=dict)
    """Plain values too."""

    def as_json(self) -> dict[str, Any]:
        """Plain values that `Job(**values)` takes."""
        return asdict(self)


@dataclass(frozen=True)
class Failure:
    """Why a run failed. A full disk is nobody's fault: the sweep stops, and the run is not counted as failed."""

    kind: Literal["error", "disk full"]
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception stands for."""
        message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return cls("disk full" if is_disk_full(error) else "error", message.strip())


_FULL = {errno.ENOSPC, errno.EDQUOT}
_SAYS_FULL = ("No space left on device", "os error 28", "Disk quota exceeded", "database or disk is full")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an exception, or what it came from, says that the disk is full; torch and safetensors say it in words."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        if any(words in str(error) for words in _SAYS_FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def explained(error: BaseException) -> str:
    """The whole traceback, for the log."""
    return "".join(traceback.format_exception(error))


class Work(Protocol):
    """The runs to do. An executor asks for one whenever it has room, and tells what happens to it.

    All calls come from one thread.
    """

    folder: Path
    """The folder of the sweep."""

    planned: int
    """Runs that the call is about, finished or not."""
    limit: int | None
    """How many of them it may begin."""
    arguments: list[str]
    """What the command line said of which runs are meant: `--only seed=120`."""

    def next(self) -> Job | None:
        """The next run to do; None where there is none at the moment. After `died` there may be one again."""

    def report(self, name: str, event: Mapping[str, Any]) -> None:
        """How a run goes: `{"event": "started" | "step" | "logged" | "note", …}`."""

    def finished(self, name: str, metrics: dict[str, Any]) -> None:
        """A run is finished; its run directory holds everything."""

    def failed(self, name: str, failure: Failure) -> None:
        """A run failed with an error; the process lives."""

    def died(self, name: str, reason: str) -> None:
        """The process, or the node, of a run died."""

    def tick(self) -> None:
        """Some time has passed: show it."""

    def note(self, message: str) -> None:
        """Something a person should know."""
