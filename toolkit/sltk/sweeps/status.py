"""The status of a sweep, and callbacks that show it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .index import Row


@dataclass
class Running:
    """A run in progress."""

    name: str
    activity: str = "loading"
    done: int = 0
    """Updates."""
    steps: int | None = None
    """Updates in total."""
    loss: float | None = None
    score: float | None = None
    """The latest score on validation data."""
    start_time: float = field(default_factory=time.monotonic)

    def update(self, event: Mapping[str, Any]) -> None:
        """Update from an event of the run."""
        kind = event["event"]
        if kind == "note" and event["message"].startswith("scoring"):
            self.activity = event["message"]
        elif kind == "started":
            self.steps, self.done = event["steps"], event["done"]
            self.activity = "training"
        elif kind == "step":
            self.done = event["done"]
        elif kind == "logged":
            values = event["values"]
            self.done = values.get("step", self.done)
            self.loss = values.get("loss", self.loss)
            self.score = values.get("eval_score", self.score)

    @property
    def seconds(self) -> float:
        """Time since the current attempt started."""
        return time.monotonic() - self.start_time


@dataclass(frozen=True)
class Status:
    """The status of a sweep; covers only the runs selected by the current call."""

    rows: Mapping[str, Row]
    running: tuple[Running, ...] = ()
    flawed: frozenset[str] = frozenset()
    """Runs that are never the best: see `Plan.flawed`."""

    def count(self, state: str) -> int:
        """Number of runs in a state: waiting, running, done, failed, damaged."""
        return sum(row.state == state for row in self.rows.values())

    @property
    def best(self) -> Row | None:
        """The finished run with the best validation score (test score, if there is no validation data).

        Runs that attend to padding, and folds of a cross-validation, do not count.
        """
        fair = [row for name, row in self.rows.items() if name not in self.flawed]
        scored = [row for row in fair if row.state == "done" and row.score is not None]
        return max(scored, key=lambda row: row.score or 0.0, default=None)

    @property
    def seconds_per_run(self) -> float | None:
        """Mean over the finished runs; None before the first."""
        return _mean(row.seconds for row in self.rows.values() if row.state == "done")

    @property
    def bytes_per_run(self) -> float | None:
        """Mean over the finished runs; None before the first."""
        return _mean(row.bytes for row in self.rows.values() if row.state == "done")

    @property
    def seconds_left(self) -> float | None:
        """Estimated time, with as many runs in parallel as now; None before the first run is finished."""
        each = self.seconds_per_run
        if each is None:
            return None
        started = sum(max(0.0, each - run.seconds) for run in self.running)
        return (each * self.count("waiting") + started) / max(1, len(self.running))

    @property
    def bytes_left(self) -> float | None:
        """Estimated size of the unfinished runs; None before the first run is finished."""
        each = self.bytes_per_run
        return None if each is None else each * (self.count("waiting") + self.count("running"))


def _mean(values: Iterable[float]) -> float | None:
    """The mean of the values that are known: 0 means unknown."""
    known = [value for value in values if value]
    return sum(known) / len(known) if known else None


class Watcher:
    """Callbacks for the progress of a sweep. Each does nothing by default; subclasses override what they need."""

    def note(self, message: str) -> None:
        """Receive a message for the user."""

    def began(self, status: Status) -> None:
        """The sweep starts; `status` covers the selected runs."""

    def ended(self, row: Row, status: Status) -> None:
        """A run is done, or has failed."""

    def show(self, status: Status) -> None:
        """The status may have changed; called a few times per second."""
