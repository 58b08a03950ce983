"""The work that an executor is given: which run is next, and what becomes of each."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..executors.work import Failure, Job
from .index import Index, Row
from .plan import PlannedRun
from .records import finished, newest_step
from .status import Running, Status, Watcher

MOST_DEATHS = 2
"""A run whose process dies so often in a row, without getting further, is passed over."""


class RunQueue:
    """The runs still to do, kept together with their index; what an executor calls `Work`."""

    def __init__(
        self,
        folder: Path,
        runs: Iterable[PlannedRun],
        rows: dict[str, Row],
        index: Index,
        watcher: Watcher,
        force: frozenset[str] = frozenset(),
        limit: int | None = None,
        arguments: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.planned = len(rows)
        self.limit = limit
        self.arguments = list(arguments)
        self.rows = rows
        self.stopped: str | None = None
        """Why no further run is handed out."""
        self._runs = {run.name: run for run in runs}
        self._index, self._watcher, self._force = index, watcher, force
        self._waiting = deque(self._runs)
        self._running: dict[str, Running] = {}
        self._checkpoints: dict[str, int] = {}
        self._said: set[str] = set()

    def status(self) -> Status:
        """How it stands."""
        return Status(self.rows, tuple(self._running.values()))

    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting

    def next(self) -> Job | None:
        """The next run; None where none waits, or the disk is full."""
        if self.stopped is None and self._waiting:
            self._check_space()
        if self.stopped is not None or not self._waiting:
            return None
        name = self._waiting.popleft()
        job = self._job(name)
        self._put(replace(self.rows[name], state="running", reason=""))
        if self.stopped is not None:
            return None
        self._running[name] = Running(name)
        self._checkpoints[name] = 0 if job.force else newest_step(Path(job.folder))
        self.tick()
        return job

    def _job(self, name: str) -> Job:
        paths = ("runs", name), ("logs", f"{name}.log"), (".locks", f"run.{name}")
        folder, log, lock = (str(self.folder.absolute().joinpath(*parts)) for parts in paths)
        return Job(name, self._runs[name].resolved, folder, log, lock, force=name in self._force)

    def _check_space(self) -> None:
        """Stop before a run that, as large as the others, would not find room."""
        needed, free = self.status().bytes_a_run, shutil.disk_usage(self.folder).free
        if needed is not None and free < needed:
            self.stopped = f"{free / 2**20:,.0f} MiB are free, and a run takes {needed / 2**20:,.0f} MiB"

    def heard(self, name: str, event: Mapping[str, Any]) -> None:
        """Take in how a run goes; a note that several runs give is passed on once."""
        self._running[name].hear(event)
        if event["event"] == "note" and event["message"] not in self._said | {self._running[name].doing}:
            self._said.add(event["message"])
            self._watcher.note(f"{name}: {event['message']}")

    def finished(self, name: str, metrics: dict[str, Any]) -> None:
        """Write down that a run is done."""
        row = replace(self.rows[name], seconds=self._spent(name))
        self._end(finished(row, self.folder / "runs" / name))

    def failed(self, name: str, failure: Failure) -> None:
        """Write down that a run failed; a full disk stops the sweep, and the run waits."""
        row = replace(self.rows[name], seconds=self._spent(name))
        if failure.kind == "disk full":
            self.stopped = failure.message
            self._running.pop(name)
            self._put(replace(row, state="waiting"))
        else:
            self._end(replace(row, state="failed", reason=failure.message))

    def died(self, name: str, reason: str) -> None:
        """Have a run whose process died done again, from its last checkpoint; or give it up."""
        row = replace(self.rows[name], seconds=self._spent(name))
        got_further = newest_step(self.folder / "runs" / name) > self._checkpoints[name]
        row = replace(row, deaths=1 if got_further else row.deaths + 1)
        if row.deaths >= MOST_DEATHS:
            why = f"{reason}; {row.deaths} times without getting further"
            self._end(replace(row, state="failed", reason=why))
            return
        self._force -= {name}
        self._running.pop(name)
        self._put(replace(row, state="waiting"))
        self._waiting.append(name)
        self._watcher.note(f"{name}: {reason}; it will be gone on with")

    def tick(self) -> None:
        """Show how it stands."""
        self._watcher.show(self.status())

    def note(self, message: str) -> None:
        """Pass it on."""
        self._watcher.note(message)

    def interrupted(self) -> None:
        """Write down that what was running waits again: Ctrl-C, or an executor that failed."""
        rows = [
            replace(self.rows[name], state="waiting", seconds=self._spent(name)) for name in self._running
        ]
        self._running.clear()
        self._put(*rows)

    def _spent(self, name: str) -> float:
        return self.rows[name].seconds + time.monotonic() - self._running[name].begun

    def _end(self, row: Row) -> None:
        self._running.pop(row.name)
        self._put(row)
        self._watcher.ended(row, self.status())

    def _put(self, *rows: Row) -> None:
        """Keep rows, and write them to the index if the disk takes them; the run directories know all the same."""
        self.rows |= {row.name: row for row in rows}
        try:
            self._index.put(*rows)
        except sqlite3.OperationalError as error:
            self.stopped = f"{self._index.path}: {error}"
