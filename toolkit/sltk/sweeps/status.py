"""How a sweep stands, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .index import Row


@dataclass
class Running:
    """A run that is running."""

    name: str
    doing: str = "loading"
    done: int = 0
    """Updates."""
    steps: int | None = None
    loss: float | None = None
    score: float | None = None
    """The last one on validation data."""
    begun: float = field(default_factory=time.monotonic)

    def update(self, event: Mapping[str, Any]) -> None:
        """Take in an event of the run."""
        kind = event["event"]
        if kind == "note" and event["message"].startswith("scoring"):
            self.doing = event["message"]
        elif kind == "started":
            self.steps, self.done = event["steps"], event["done"]
            self.doing = "training"
        elif kind == "step":
            self.done = event["done"]
        elif kind == "logged":
            values = event["values"]
            self.done = values.get("step", self.done)
            self.loss = values.get("loss", self.loss)
            self.score = values.get("eval_score", self.score)

    @property
    def seconds(self) -> float:
        """Since it began, this time."""
        return time.monotonic() - self.begun


@dataclass(frozen=True)
class Status:
    """How a sweep stands; counts are of the runs that this call is about."""

    rows: Mapping[str, Row]
    running: tuple[Running, ...] = ()

    def count(self, state: str) -> int:
        """Runs in a state: waiting, running, done, failed, damaged."""
        return sum(row.state == state for row in self.rows.values())

    @property
    def best(self) -> Row | None:
        """The finished run with the best validation score (test, where there is no validation data)."""
        scored = [row for row in self.rows.values() if row.state == "done" and row.score is not None]
        return max(scored, key=lambda row: row.score or 0.0, default=None)

    @property
    def seconds_a_run(self) -> float | None:
        """Mean over the finished runs; None before the first."""
        return _mean(row.seconds for row in self.rows.values() if row.state == "done" and row.seconds)

    @property
    def bytes_a_run(self) -> float | None:
        """Mean over the finished runs; None before the first."""
        return _mean(row.bytes for row in self.rows.values() if row.state == "done" and row.bytes)

    @property
    def seconds_left(self) -> float | None:
        """Expected, with as many runs at a time as there are now; None before the first run is finished."""
        each = self.seconds_a_run
        if each is None:
            return None
        begun = sum(max(0.0, each - run.seconds) for run in self.running)
        return (each * self.count("waiting") + begun) / max(1, len(self.running))

    @property
    def bytes_left(self) -> float | None:
        """Expected size of what is not done yet; None before the first run is finished."""
        each = self.bytes_a_run
        return None if each is None else each * (self.count("waiting") + self.count("running"))


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


class Watcher(Protocol):
    """Who is told how a sweep goes."""

    def note(self, message: str) -> None:
        """Something a person should know."""

    def began(self, status: Status) -> None:
        """What is to be done, before anything is."""

    def ended(self, row: Row, status: Status) -> None:
        """A run is done, or failed."""

    def show(self, status: Status) -> None:
        """How it stands now; called a few times a second."""


class Unwatched:
    """Shows nothing."""

    def note(self, message: str) -> None:
        """Ignored."""

    def began(self, status: Status) -> None:
        """Ignored."""

    def ended(self, row: Row, status: Status) -> None:
        """Ignored."""

    def show(self, status: Status) -> None:
        """Ignored."""
