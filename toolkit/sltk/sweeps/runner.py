"""Runs a plan in a folder. Finished runs are kept, interrupted runs are resumed, and failures are recorded.

SWEEP/sweep.yaml      the plan: a self-contained sweep spec
SWEEP/imports/        copies of the files of its `imports:`
SWEEP/runs/NAME/      ordinary run directories
SWEEP/logs/NAME.log   the output of a run's process
SWEEP/index.sqlite    see index.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..components.slots import Executor
from ..errors import Problem, SpecError, UsageError
from ..files import atomic, locking
from ..files.disk_space import disk_errors
from ..files.writable import check_model_folder
from ..spec.import_copies import read_copies, write_copies
from ..spec.imports import ImportPolicy
from ..spec.loading import read_spec
from .index import Index, IndexUnreadableError, Row, read_rows
from .plan import Plan, PlannedRun, change, plan_from
from .plan import plan as plan_of
from .queue import RunQueue
from .run_state import read_row
from .status import Status, Watcher

OnChange = Literal["refuse", "old", "extend"]
_ADVICE = "--extend adds the new runs; --old-plan keeps the old plan; another --output starts a new sweep"
_SWEEP_FILES = {"sweep.yaml", "imports", "runs", "logs", "slurm"}


@dataclass(frozen=True)
class Selection:
    """The runs of the plan to execute."""

    only: Sequence[str] = ()
    """Settings `key=value` that the runs must have."""
    limit: int | None = None
    """The maximum number of runs to start."""
    shard: tuple[int, int] | None = None
    """(i, n): every n-th run, starting with the i-th."""
    retry: bool = False
    """Include runs that failed or are damaged."""

    @property
    def arguments(self) -> list[str]:
        """The selection as command-line arguments, without `limit` and `shard`."""
        only = [word for condition in self.only for word in ("--only", condition)]
        return [*only, *(["--retry"] if self.retry else [])]

    def of(self, plan: Plan) -> Plan:
        """The selected runs of the plan, finished or not."""
        plan = plan.only(self.only)
        return plan.shard(*self.shard) if self.shard else plan

    @property
    def index(self) -> str:
        """File name of the index: one per shard, since shards may run on several machines."""
        return f"index.{self.shard[0]}-of-{self.shard[1]}.sqlite" if self.shard else "index.sqlite"


@dataclass(frozen=True)
class Outcome:
    """The state of all selected runs at the end of a call."""

    folder: Path
    rows: dict[str, Row]
    stopped: str | None = None
    """The reason why the call ended early: the disk is full."""
    flawed: frozenset[str] = frozenset()
    """Runs that are never the best: see `Plan.flawed`."""

    def names(self, state: str) -> list[str]:
        """The names of the runs in a state: waiting, done, failed, damaged."""
        return [name for name, row in self.rows.items() if row.state == state]

    @property
    def status(self) -> Status:
        """The state of the runs as a `Status`."""
        return Status(self.rows, flawed=self.flawed)

    def metrics(self, name: str) -> dict[str, Any]:
        """`metrics.json` of a finished run."""
        path = self.folder / "runs" / name / "metrics.json"
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return metrics


def sweep(
    spec: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    executor: Executor | None = None,
    select: Selection | None = None,
    on_change: OnChange = "refuse",
    watcher: Watcher | None = None,
    trust_code: bool = False,
) -> Outcome:
    """Plan a sweep and execute its unfinished runs; `output` defaults to `runs/NAME`.

    See `run` for the other arguments and errors.
    """
    planned = plan_of(spec, policy=ImportPolicy(trust_code))
    return run(
        planned,
        output or Path("runs") / planned.name,
        executor=executor,
        select=select,
        on_change=on_change,
        watcher=watcher,
        trust_code=trust_code,
    )


def run(
    plan: Plan,
    folder: str | Path,
    *,
    executor: Executor | None = None,
    select: Selection | None = None,
    on_change: OnChange = "refuse",
    watcher: Watcher | None = None,
    fill: Callable[[RunQueue], None] | None = None,
    trust_code: bool = False,
) -> Outcome:
    """Execute the unfinished runs of a plan.

    Args:
        plan: the result of `plan()`.
        folder: the sweep's folder, new or from an earlier call.
        executor: where the runs are executed; by default, the plan's executor.
        select: which runs to execute.
        on_change: what to do if the folder holds another plan: `refuse` raises an error that says what differs,
            `old` continues with the plan in the folder, `extend` adds the new runs to it.
        watcher: callbacks for the progress of the sweep.
        fill: called when the queue is empty, to add runs; by default, all unfinished runs are queued.
        trust_code: run the `imports:` of a plan in the folder even if this machine did not store it.

    Raises:
        UsageError: another process is using the folder, or the folder holds another plan or other files.
    """
    folder, select, watcher = Path(folder), select or Selection(), watcher or Watcher()
    _check_folder(folder)
    if not folder.exists():
        select.of(plan)  # raises an error before the folder is created
    with disk_errors(folder, "free some space, then run the same command again"), _locked(folder, select):
        plan = _store_plan(plan, folder, on_change, ImportPolicy(trust_code, watcher.note), watcher)
        with closing(Index(folder / select.index)) as index:
            if index.replaced:
                watcher.note(f"the index was damaged and has been rebuilt; the old file is {index.replaced}")
            rows = _rows(select.of(plan), folder, index.rows())
            force = frozenset(name for name, row in rows.items() if row.state == "damaged")
            if select.retry:
                rows = {name: _retried(row) for name, row in rows.items()}
            index.put(*rows.values())
            fill = fill or _fill_with(_waiting(select.of(plan), rows)[: select.limit])
            queue = RunQueue(
                folder, rows, index, watcher, fill, force, select.limit, select.arguments, plan.flawed
            )
            execute_queue(queue, executor or plan.executor, watcher, is_shard=select.shard is not None)
            return Outcome(folder, queue.rows, queue.stopped, plan.flawed)


def read_status(
    plan: Plan, folder: str | Path, select: Selection | None = None, watcher: Watcher | None = None
) -> Status:
    """The status of a plan's runs in a folder; writes nothing.

    `watcher` receives a note if the index cannot be read; then runs that failed count as waiting.
    """
    folder, select = Path(folder), select or Selection()
    indexed: dict[str, Row] = {}
    try:
        indexed = read_rows(folder / select.index)
    except IndexUnreadableError as error:
        (watcher or Watcher()).note(
            f"`{folder / select.index}` cannot be read ({error}): runs that failed are shown as waiting"
        )
    return Status(_rows(select.of(plan), folder, indexed), flawed=plan.flawed)


def execute_queue(queue: RunQueue, executor: Executor, watcher: Watcher, *, is_shard: bool = False) -> None:
    """Execute the runs of a queue, and those that its `fill` adds; what is running at an error waits again."""
    watcher.began(queue.status())
    try:
        if not queue.is_idle():
            (executor.for_shard() if is_shard else executor).execute(queue)
    except BaseException:
        queue.interrupted()
        raise


def _rows(plan: Plan, folder: Path, indexed: dict[str, Row]) -> dict[str, Row]:
    return {run.name: read_row(run, folder / "runs" / run.name, indexed.get(run.name)) for run in plan.runs}


def _retried(row: Row) -> Row:
    return Row(row.name, row.digest) if row.state in ("failed", "damaged") else row


def _waiting(plan: Plan, rows: dict[str, Row]) -> list[PlannedRun]:
    """The runs to execute. Runs during which the sweep ended twice come last, since they may have ended it."""
    waiting = [run for run in plan.runs if rows[run.name].state == "waiting"]
    return sorted(waiting, key=lambda run: rows[run.name].interruptions >= 2)


def _fill_with(runs: Sequence[PlannedRun]) -> Callable[[RunQueue], None]:
    def fill(queue: RunQueue) -> None:
        for run in runs:
            queue.add(run)

    return fill


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is not a sweep.

    Raises:
        UsageError: the folder is a file, or holds other files.
    """
    if not folder.exists() or (folder / "sweep.yaml").exists():
        check_model_folder(folder)
        return
    if not folder.is_dir():
        raise UsageError(f"`{folder}` is not a directory")
    names = {path.name for path in folder.iterdir()} - _SWEEP_FILES
    others = sorted(name for name in names if not name.startswith((".", "index.")))
    if others:
        raise UsageError(
            f"`{folder}` is not a sweep and holds other files ({', '.join(others[:3])}); choose another --output"
        )


@contextmanager
def _locked(folder: Path, select: Selection) -> Iterator[None]:
    """Lock the folder: for one process, or for several processes that each execute a different shard.

    Raises:
        UsageError: another process holds the lock.
    """
    with locking.lock(folder / ".locks" / "sweep", shared=select.shard is not None):
        if select.shard is None:
            yield
            return
        with locking.lock(folder / ".locks" / select.index):
            yield


def _store_plan(
    plan: Plan, folder: Path, on_change: OnChange, policy: ImportPolicy, watcher: Watcher
) -> Plan:
    """The plan to follow, which is now also in `sweep.yaml`.

    Raises:
        UsageError: the folder holds another plan, and `on_change` refuses it or cannot extend it.
    """
    path = folder / "sweep.yaml"
    with locking.lock(folder / ".locks" / "plan", wait=60):
        if path.exists():
            before = _stored_plan(path, policy)
            difference = change(before, plan)
            if not difference and plan.compare == before.compare:
                _copy_imports(plan, folder, watcher)
                return plan
            if on_change == "old":
                return replace(before, executor=plan.executor)
            if difference and on_change == "refuse":
                message = f"the sweep in `{folder}` was started with another plan"
                raise UsageError(Problem(message, notes=(*difference.lines(), _ADVICE)))
            plan = _extended(before, plan, folder) if difference else plan
        _copy_imports(plan, folder, watcher)
        atomic.write_text(path, plan.dump())
    return plan


def _copy_imports(plan: Plan, folder: Path, watcher: Watcher) -> None:
    write_copies(read_copies(plan.import_copies), folder / "imports", watcher.note)


def _stored_plan(path: Path, policy: ImportPolicy) -> Plan:
    try:
        return plan_from(read_spec(path, is_stored=True), policy)
    except SpecError as error:
        note = f"remove `{path}` to write it again from the spec; finished runs of the spec are kept"
        message = f"the plan in `{path}` cannot be read: {error.problems[0].message}"
        raise UsageError(Problem(message, notes=(*error.problems[0].notes, note))) from error


def _extended(before: Plan, now: Plan, folder: Path) -> Plan:
    """The runs of both plans.

    Raises:
        UsageError: a run has the same name but another spec.
    """
    difference = change(before, now)
    if difference.changed:
        lines = replace(difference, added=(), removed=()).lines()
        message = f"`{folder}` cannot be extended: the specs of existing runs have changed"
        raise UsageError(Problem(message, notes=(*lines, "choose another --output for the new sweep")))
    added = set(difference.added)
    return replace(now, runs=(*before.runs, *(run for run in now.runs if run.name in added)))
