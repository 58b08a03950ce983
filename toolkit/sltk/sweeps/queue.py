"""The work queue of a sweep: the next run to execute, and the state of each run."""

from __future__ import annotations

import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files.disk_space import shortage
from ..runtime.jobs import Failure, Job
from .index import Index, Row
from .plan import PlannedRun
from .run_state import finished_row, newest_step
from .status import Running, Status, Watcher

_PRELOAD = "sltk.training.fit"
MOST_DEATHS = 2
"""Number of times in a row that a run's process may die without progress before the run counts as failed."""


class RunQueue:
    """The runs to execute, and the rows of all runs; the `Work` of an executor.

    Args:
        folder: the folder of the sweep.
        rows: the row of each selected run.
        index: where changed rows are written.
        watcher: callbacks for the progress of the sweep.
        fill: called when no run is waiting; may `add` more.
        force: runs whose directories are replaced instead of resumed.
        limit: the maximum number of runs to start; for executors that only write commands.
        arguments: the command-line arguments that selected the runs; for the same executors.
        flawed: runs that are never the best.
    """

    def __init__(
        self,
        folder: Path,
        rows: dict[str, Row],
        index: Index,
        watcher: Watcher,
        fill: Callable[[RunQueue], None],
        force: frozenset[str] = frozenset(),
        limit: int | None = None,
        arguments: Iterable[str] = (),
        flawed: frozenset[str] = frozenset(),
    ) -> None:
        self.folder = folder
        self.planned = len(rows)
        self.limit = limit
        self.arguments = list(arguments)
        self.rows = rows
        self.flawed = flawed
        self.stopped: str | None = None
        """The reason why no further runs are started."""
        self._index, self._watcher, self._fill, self._force = index, watcher, fill, force
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[str] = deque()
        self._running: dict[str, Running] = {}
        self._checkpoints: dict[str, int] = {}
        """The newest checkpoint of each running run when it was started."""
        self._notes: set[str] = set()

    def status(self) -> Status:
        """The current status of the sweep."""
        return Status(self.rows, tuple(self._running.values()), self.flawed)

    def add(self, run: PlannedRun, **job: Any) -> None:
        """Queue a run, unless it was added before; `job` are further fields of its `Job`."""
        if run.name in self._jobs:
            return
        paths = ("runs", run.name), ("logs", f"{run.name}.log"), (".locks", f"run.{run.name}")
        folder, log, lock = (str(self.folder.absolute().joinpath(*parts)) for parts in paths)
        self._jobs[run.name] = Job(
            run.name, run.resolved, folder, log, lock, run.name in self._force, preload=_PRELOAD, **job
        )
        self._waiting.append(run.name)

    def indexed_row(self, run: PlannedRun) -> Row:
        """The row in the index of a run outside the plan; a new row if the index has none for this spec."""
        row = self._index.rows().get(run.name)
        return row if row is not None and row.digest == run.digest else Row(run.name, run.digest)

    def is_idle(self) -> bool:
        """Whether no run is waiting, after `fill` had the chance to add more."""
        if not self._waiting:
            self._fill(self)
        return not self._waiting

    def next(self) -> Job | None:
        """The next run; None if no run is waiting, or the disk is full."""
        if self.stopped is None and not self.is_idle():
            self._check_space()
        if self.stopped is not None or not self._waiting:
            return None
        name = self._waiting.popleft()
        job = self._jobs[name]
        self._put(replace(self.rows[name], state="running", reason=""))
        if self.stopped is not None:
            return None
        self._running[name] = Running(name)
        self._checkpoints[name] = 0 if job.force else newest_step(Path(job.folder))
        self.tick()
        return job

    def _check_space(self) -> None:
        """Stop if there is no room for a run as large as the finished ones."""
        needed, free = self.status().bytes_per_run, shutil.disk_usage(self.folder).free
        if needed is not None and free < needed:
            self.stopped = f"{free / 2**20:,.0f} MiB are free, but a run takes {needed / 2**20:,.0f} MiB"

    def report(self, name: str, event: Mapping[str, Any]) -> None:
        """Record the progress of a run; a note that several runs report is passed on once."""
        running = self._running[name]
        running.update(event)
        if event["event"] == "note" and event["message"] not in self._notes | {running.activity}:
            self._notes.add(event["message"])
            self._watcher.note(f"{name}: {event['message']}")

    def finished(self, name: str, metrics: dict[str, Any]) -> None:
        """Record that a run is done, or that it ended early on purpose, with the reason as `pruned`."""
        if "pruned" in metrics:
            self._end(replace(self._timed(name), state="pruned", reason=str(metrics["pruned"])))
            return
        self._end(finished_row(self._timed(name), self.folder / "runs" / name))

    def failed(self, name: str, failure: Failure) -> None:
        """Record that a run failed. A full disk stops the sweep instead, and the run is left waiting."""
        row = self._timed(name)
        if failure.kind == "disk full":
            self.stopped = failure.message
            self._running.pop(name)
            self._put(replace(row, state="waiting"))
        else:
            self._end(replace(row, state="failed", reason=failure.message))

    def died(self, name: str, reason: str) -> None:
        """Requeue a run whose process died, to resume from its last checkpoint; or record that it failed."""
        if shortage(self.folder) is not None:
            self.failed(name, Failure("disk full", f"{reason}, and `{self.folder}` has no space left"))
            return
        row = self._timed(name)
        has_progressed = newest_step(self.folder / "runs" / name) > self._checkpoints[name]
        row = replace(row, deaths=1 if has_progressed else row.deaths + 1)
        if row.deaths >= MOST_DEATHS:
            why = f"{reason}; {row.deaths} times in a row without progress"
            self._end(replace(row, state="failed", reason=why))
            return
        self._jobs[name] = replace(self._jobs[name], force=False)
        self._running.pop(name)
        self._put(replace(row, state="waiting"))
        self._waiting.append(name)
        self._watcher.note(f"{name}: {reason}; it will be resumed")

    def tick(self) -> None:
        """Show the status."""
        self._watcher.show(self.status())

    def note(self, message: str) -> None:
        """Pass a note on to the watcher."""
        self._watcher.note(message)

    def interrupted(self) -> None:
        """Record that all running runs wait again, after Ctrl-C or an error in the executor."""
        rows = [replace(self._timed(name), state="waiting") for name in self._running]
        self._running.clear()
        self._put(*rows)

    def _timed(self, name: str) -> Row:
        """The row of a running run, with the time of this attempt added."""
        row = self.rows[name]
        return replace(row, seconds=row.seconds + self._running[name].seconds)

    def _end(self, row: Row) -> None:
        self._running.pop(row.name)
        self._put(row)
        self._watcher.ended(row, self.status())

    def _put(self, *rows: Row) -> None:
        """Record rows, and write them to the index; without disk space the run directories still hold everything."""
        self.rows |= {row.name: row for row in rows}
        try:
            self._index.put(*rows)
        except sqlite3.OperationalError as error:
            self.stopped = f"{self._index.path}: {error}"
