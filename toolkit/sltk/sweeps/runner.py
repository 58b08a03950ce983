"""Runs a plan in a folder: what is done stays done, what was begun goes on, what fails is told.

SWEEP/sweep.yaml      the plan: a sweep spec that needs no other file
SWEEP/runs/NAME/      ordinary run directories
SWEEP/logs/NAME.log   what the process of a run printed
SWEEP/index.sqlite    see index.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import Problem, SpecError, UsageError
from ..files import atomic, locking
from ..slots import Executor
from .index import Index, Row
from .plan import Plan, PlannedRun, change, extended
from .plan import plan as plan_of
from .queue import RunQueue
from .records import record
from .status import Status, Unwatched, Watcher

OnChange = Literal["refuse", "old", "extend"]
_OWN = {"sweep.yaml", "runs", "logs", "slurm"}


@dataclass(frozen=True)
class Selection:
    """Which runs of the plan a call is about."""

    only: Sequence[str] = ()
    """Settings `key=value` that they must have."""
    limit: int | None = None
    """At most so many are begun."""
    shard: tuple[int, int] | None = None
    """(i, n): every n-th, from the i-th on."""
    retry: bool = False
    """Those that failed, or are damaged, too."""

    @property
    def arguments(self) -> list[str]:
        """The same on a command line, but for `limit` and `shard`."""
        only = [word for condition in self.only for word in ("--only", condition)]
        return [*only, *(["--retry"] if self.retry else [])]

    def of(self, plan: Plan) -> Plan:
        """The runs of the plan that are meant, finished or not."""
        plan = plan.only(self.only)
        return plan.shard(*self.shard) if self.shard else plan

    @property
    def index(self) -> str:
        """Name of the index: each shard has its own, for they may run on several machines."""
        return f"index.{self.shard[0]}-of-{self.shard[1]}.sqlite" if self.shard else "index.sqlite"


@dataclass(frozen=True)
class Outcome:
    """What has become of a sweep's runs."""

    folder: Path
    rows: dict[str, Row]
    stopped: str | None = None
    """Why it ended before all was done: the disk is full."""

    def names(self, state: str) -> list[str]:
        """The runs in a state: waiting, done, failed, damaged."""
        return [name for name, row in self.rows.items() if row.state == state]

    @property
    def status(self) -> Status:
        """The same for whoever shows it."""
        return Status(self.rows)

    def metrics(self, name: str) -> dict[str, Any]:
        """`metrics.json` of a finished run."""
        path = self.folder / "runs" / name / "metrics.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def run(
    plan: Plan,
    folder: str | Path,
    *,
    executor: Executor | None = None,
    select: Selection | None = None,
    on_change: OnChange = "refuse",
    watcher: Watcher | None = None,
    fill: Callable[[RunQueue], None] | None = None,
) -> Outcome:
    """Do the runs of a plan that are not done yet.

    Args:
        plan: as `plan` makes it.
        folder: the folder of the sweep; a new one, or that of an earlier call.
        executor: where they run; unset: as the plan says.
        select: some of the runs only.
        on_change: where the folder holds another plan: an error that says what differs; or go on with the plan
            that is there; or add the new runs to it.
        watcher: hears how it goes.
        fill: chooses the runs: adds to the queue whenever no run is waiting. Unset: all runs that are not done yet.

    Raises:
        UsageError: another process works in the folder; or it holds another plan, or something else.
    """
    folder, select, watcher = Path(folder), select or Selection(), watcher or Unwatched()
    _check_folder(folder)
    if not folder.exists():
        select.of(plan)  # what is asked for is there: else no folder is made
    with _locked(folder, select):
        plan = _settled(plan, folder, on_change)
        index = Index(folder / select.index)
        try:
            if index.replaced:
                watcher.note(f"the index was damaged, and made anew; the old one is {index.replaced}")
            return _run(plan, folder, executor or plan.executor, select, index, watcher, fill)
        finally:
            index.close()


def look(plan: Plan, folder: str | Path, select: Selection | None = None) -> Status:
    """How the runs of a plan stand in a folder; nothing is written."""
    folder, select = Path(folder), select or Selection()
    return Status(_rows(select.of(plan), folder, _known(folder / select.index)))


def _known(path: Path) -> dict[str, Row]:
    if not path.exists():
        return {}
    index = Index(path)
    try:
        return index.rows()
    finally:
        index.close()


def _run(
    plan: Plan,
    folder: Path,
    executor: Executor,
    select: Selection,
    index: Index,
    watcher: Watcher,
    fill: Callable[[RunQueue], None] | None,
) -> Outcome:
    chosen = select.of(plan)
    rows = _rows(chosen, folder, index.rows())
    force = frozenset(name for name, row in rows.items() if row.state == "damaged")
    if select.retry:
        rows = {name: _retried(row) for name, row in rows.items()}
    index.put(*rows.values())
    waiting = _waiting(chosen, rows)[: select.limit]

    def fill_with_all(queue: RunQueue) -> None:
        for run in waiting:
            queue.add(run)

    queue = RunQueue(
        folder, rows, index, watcher, fill or fill_with_all, force, select.limit, select.arguments
    )
    watcher.began(queue.status())
    try:
        if not queue.is_idle():
            (executor.for_shard() if select.shard else executor).execute(queue)
    except BaseException:
        queue.interrupted()
        raise
    return Outcome(folder, queue.rows, queue.stopped)


def _rows(plan: Plan, folder: Path, known: dict[str, Row]) -> dict[str, Row]:
    return {run.name: record(run, folder / "runs" / run.name, known.get(run.name)) for run in plan.runs}


def _retried(row: Row) -> Row:
    return Row(row.name, row.digest) if row.state in ("failed", "damaged") else row


def _waiting(plan: Plan, rows: dict[str, Row]) -> list[PlannedRun]:
    """Those to do; last the ones that were running when the sweep ended, time and again: they may have ended it."""
    waiting = [run for run in plan.runs if rows[run.name].state == "waiting"]
    return sorted(waiting, key=lambda run: rows[run.name].interruptions >= 2)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        UsageError: it does.
    """
    if not folder.exists() or (folder / "sweep.yaml").exists():
        return
    if not folder.is_dir():
        raise UsageError(f"`{folder}` is not a directory")
    names = {path.name for path in folder.iterdir()} - _OWN
    others = sorted(name for name in names if not name.startswith((".", "index.")))
    if others:
        raise UsageError(
            f"`{folder}` holds other files and no sweep ({', '.join(others[:3])}); choose another --output"
        )


@contextmanager
def _locked(folder: Path, select: Selection) -> Iterator[None]:
    """One process works in the folder; or several, each on a shard of its own.

    Raises:
        UsageError: another one does.
    """
    with locking.held(folder / ".locks" / "sweep", shared=select.shard is not None):
        if select.shard is None:
            yield
            return
        with locking.held(folder / ".locks" / select.index):
            yield


def _settled(plan: Plan, folder: Path, on_change: OnChange) -> Plan:
    """The plan to follow, written down in the folder.

    Raises:
        UsageError: the folder holds another one, and nobody said what to do then.
    """
    path = folder / "sweep.yaml"
    with locking.held(folder / ".locks" / "plan", wait=60):
        if path.exists():
            before = _written_plan(path)
            differing = change(before, plan)
            if not differing:
                return plan
            if on_change == "old":
                return replace(before, executor=plan.executor)
            if on_change == "refuse":
                raise _another_plan(folder, differing.lines())
            plan = _extended(before, plan, folder)
        atomic.write_text(path, plan.dump())
    return plan


def _written_plan(path: Path) -> Plan:
    try:
        return plan_of(path)
    except SpecError as error:
        note = f"remove `{path}` to have it written anew from the spec; finished runs of the spec stay"
        raise UsageError(
            Problem(f"the plan in `{path}` cannot be read: {error.problems[0].message}", notes=(note,))
        ) from error


def _another_plan(folder: Path, lines: Iterator[str]) -> UsageError:
    advice = "--extend adds the new runs; --old-plan goes on as it was; another --output begins a new sweep"
    return UsageError(Problem(f"the sweep in `{folder}` was begun with another plan", notes=(*lines, advice)))


def _extended(before: Plan, now: Plan, folder: Path) -> Plan:
    """Both plans in one.

    Raises:
        UsageError: runs of one name differ.
    """
    differing = change(before, now)
    if differing.changed:
        lines = replace(differing, added=(), removed=()).lines()
        about = f"`{folder}` cannot be extended: runs that it has already are others now"
        raise UsageError(Problem(about, notes=(*lines, "choose another --output for the new sweep")))
    return extended(before, now)
