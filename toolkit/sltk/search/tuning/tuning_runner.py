"""Runs a search over values of keys in its folder. The same call resumes it after a kill, without lost trials.

SEARCH/search.yaml       the spec of the search
SEARCH/runs/trial-0000/  ordinary run directories, each with its `trial.json`
SEARCH/search.json       all trials with their scores, and the importance of each key
SEARCH/best.yaml         the spec of the best trial so far
SEARCH/optuna.sqlite     the trials for Optuna's tools; see trial_storage.py
SEARCH/logs/, index.sqlite   as in a sweep
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from ...components.slots import Executor
from ...errors import InputError, RunError, UsageError
from ...files import atomic, locking
from ...files.disk_space import disk_errors
from ...sweeps.index import Index, Row
from ...sweeps.queue import RunQueue
from ...sweeps.run_state import read_row
from ...sweeps.runner import execute_queue
from ...sweeps.status import Watcher
from .proposals import propose
from .pruning import PastTrial
from .trial_files import Trial, pruned_reason
from .trial_storage import TrialStorage
from .tuning_folder import BEST, RESULT, check_folder, store_plan
from .tuning_plan import TuningPlan
from .tuning_result import TuningResult, TuningState, best_spec, result_of

_MOST_FAILURES = 3
"""The search ends if this many trials have failed before any has succeeded."""


def begin(plan: TuningPlan) -> TuningState:
    """The state of a search before its folder is read."""
    return TuningState(plan)


def run(
    plan: TuningPlan,
    folder: str | Path,
    *,
    state: TuningState | None = None,
    executor: Executor | None = None,
    retry: bool = False,
    watcher: Watcher | None = None,
) -> TuningResult:
    """Run trials until there are as many as the spec says, and write `search.json` and `best.yaml`.

    Args:
        plan: the result of `plan()`.
        folder: the folder of the search, new or from an earlier call; trials in it are kept and resumed.
        state: the result of `begin()`, to watch the search while it runs.
        executor: where trials are trained; by default, the plan's executor.
        retry: train failed and damaged trials again.
        watcher: callbacks for the progress of the search.

    Raises:
        UsageError: another process is using the folder; it holds another search or other files; or Optuna is missing.
        RunError: the disk is full, or no trial was finished.
    """
    folder, watcher, state = Path(folder), watcher or Watcher(), state or begin(plan)
    check_folder(folder)
    with (
        disk_errors(folder, "free some space, then run the same command again"),
        locking.lock(folder / ".locks" / "sweep"),
    ):
        store_plan(plan, folder)
        with closing(Index(folder / "index.sqlite")) as index, _storage(plan, folder, watcher) as storage:
            if index.replaced:
                watcher.note(f"the index was damaged and has been rebuilt; the old file is {index.replaced}")
            state.trials[:] = storage.recover(folder / "runs")
            rows = {trial.name: _row(plan, trial, folder, index.rows()) for trial in state.trials}
            force = frozenset(name for name, row in rows.items() if row.state == "damaged")
            if retry:
                rows = {name: _retried(row) for name, row in rows.items()}
            index.put(*rows.values())
            search = _Trials(state, folder, storage)
            queue = RunQueue(folder, rows, index, watcher, search.fill, force)
            search.record(queue)
            try:
                execute_queue(queue, executor or plan.executor, watcher)
            finally:
                search.record(queue)
            if state.note:
                watcher.note(state.note)
            result = search.write(queue, final=True)
            _check_result(result, queue, folder)
            return result


class _Trials:
    """Fills the queue with trials, and records how they end."""

    def __init__(self, state: TuningState, folder: Path, storage: TrialStorage) -> None:
        self._state, self._folder, self._storage = state, folder, storage
        self._plan = state.plan

    def fill(self, queue: RunQueue) -> None:
        """Record what has ended; queue trials to resume, or else one new trial."""
        self.record(queue)
        waiting = [trial for trial in self._state.trials if queue.rows[trial.name].state == "waiting"]
        if not waiting and (new := self._next()) is not None:
            waiting = [new]
        for trial in waiting:
            self._add(trial, queue)

    def _next(self) -> Trial | None:
        """A new trial, stored before it starts; None if there are enough."""
        trials = self._state.trials
        if len(trials) >= self._plan.trials or self._is_failing():
            return None
        number = len(trials)
        parameters = propose(self._plan.space, self._plan.settings, trials, number)
        if parameters is None:
            self._state.note = f"the search ends after {number} trials: no other values were found"
            return None
        trial = Trial(number, parameters)
        self._storage.add(trial)
        trials.append(trial)
        return trial

    def _is_failing(self) -> bool:
        """Whether the first trials have all failed."""
        return self._state.count("failed") >= _MOST_FAILURES and not (
            self._state.count("done") or self._state.count("pruned")
        )

    def _add(self, trial: Trial, queue: RunQueue) -> None:
        try:
            run = self._plan.trial(trial.number, trial.parameters)
        except InputError as error:  # values that go together in pairs, but not all of them
            queue.rows[trial.name] = Row(
                trial.name, "", state="failed", reason=str(error.problems[0].message)
            )
            self.record(queue)
            self.fill(queue)
            return
        if trial.name not in queue.rows:
            row = read_row(run, self._folder / "runs" / trial.name, None)
            if row.state == "damaged":  # something else is in the place of its run directory
                raise UsageError(
                    f"`{self._folder / 'runs' / trial.name}` is not a trial of this search: {row.reason}"
                )
            queue.rows[trial.name] = row
        options = {
            "number": trial.number,
            "parameters": dict(trial.parameters),
            "pruning": self._plan.settings.pruning.model_dump(mode="json", exclude_unset=True),
            "past": self._past(trial.number),
        }
        queue.add(run, function=f"{__package__}.trial_run:train_trial", options=options)

    def _past(self, number: int) -> list[PastTrial]:
        """The scores of the other trials that have ended and did not fail."""
        ended = [
            each for each in self._state.trials if each.state in ("done", "pruned") and each.number != number
        ]
        return [PastTrial(scores=list(each.scores), validation=each.validation) for each in ended]

    def record(self, queue: RunQueue) -> None:
        """Record the trials that have ended since the last call."""
        trials, has_changed = self._state.trials, False
        for place, trial in enumerate(trials):
            row = queue.rows.get(trial.name)
            if trial.state == "running" and row is not None and row.state not in ("waiting", "running"):
                trials[place] = trial.ended(row, self._folder / "runs" / trial.name)
                has_changed = True
        if has_changed:
            self._storage.update(trials)
            self.write(queue)

    def write(self, queue: RunQueue, *, final: bool = False) -> TuningResult:
        """Write `search.json` and `best.yaml`."""
        result = result_of(self._state, queue.rows, final=final)
        atomic.write_json(self._folder / RESULT, asdict(result))
        if (best := self._state.best) is not None:
            atomic.write_text(self._folder / BEST, best_spec(self._state, best))
        return result


def _check_result(result: TuningResult, queue: RunQueue, folder: Path) -> None:
    """Check that the search could be completed.

    Raises:
        RunError: the disk is full, or no trial was finished.
    """
    if queue.stopped is not None:
        note = "   = free some space, then run the same command to resume"
        raise RunError(f"the search stopped because the disk is full: {queue.stopped}\n{note}")
    if result.best is None:
        reasons = dict.fromkeys(row.reason for row in queue.rows.values() if row.reason)
        listed = "".join(f"\n   = {reason.splitlines()[0]}" for reason in list(reasons)[:5])
        count = len(result.trials)
        advice = f"   = logs: {folder}/logs; `--retry` runs failed trials again"
        raise RunError(f"no trial was finished, of {count}{listed}\n{advice}")


def _row(plan: TuningPlan, trial: Trial, folder: Path, indexed: dict[str, Row]) -> Row:
    """The row of a trial according to its run directory."""
    run_folder = folder / "runs" / trial.name
    try:
        run = plan.trial(trial.number, trial.parameters)
    except InputError as error:
        return Row(trial.name, "", state="failed", reason=str(error.problems[0].message))
    row = read_row(run, run_folder, indexed.get(trial.name))
    if row.state in ("waiting", "pruned"):
        reason = pruned_reason(run_folder)
        if reason is not None:
            return replace(row, state="pruned", reason=reason)
    return row


def _retried(row: Row) -> Row:
    return Row(row.name, row.digest) if row.state in ("failed", "damaged") else row


@contextmanager
def _storage(plan: TuningPlan, folder: Path, watcher: Watcher) -> Iterator[TrialStorage]:
    storage = TrialStorage(folder, plan.name, plan.space, watcher.note)
    try:
        yield storage
    finally:
        storage.close()
