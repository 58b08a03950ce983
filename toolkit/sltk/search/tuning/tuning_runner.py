"""Runs a search over values of keys in its folder. The same call resumes it after a kill, without lost trials.

SEARCH/search.yaml       the spec of the search
SEARCH/runs/trial-0000/  ordinary run directories, each with its `trial.json`
SEARCH/search.json       all trials with their scores, and the importance of each key
SEARCH/best.yaml         the spec of the best trial so far
SEARCH/optuna.sqlite     the trials for Optuna's tools; see trial_storage.py
SEARCH/logs/, index.sqlite   as in a sweep
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...components.slots import Executor
from ...errors import InputError, Problem, RunError, UsageError
from ...files import atomic, locking
from ...files.disk_space import disk_errors
from ...files.safety import printable
from ...files.writable import check_model_folder
from ...spec.stored import differences, parse_stored_spec, read_mapping, with_new_keys
from ...spec.writing import dump
from ...sweeps.index import Index, Row
from ...sweeps.queue import RunQueue
from ...sweeps.run_state import read_row
from ...sweeps.runner import execute_queue
from ...sweeps.status import Watcher
from .proposals import importance, propose
from .pruning import PastTrial
from .trial_files import Trial, pruned_reason
from .trial_storage import FILE, TrialStorage
from .tuning_plan import TuningPlan

PLAN, RESULT, BEST = "search.yaml", "search.json", "best.yaml"
_FILES = {PLAN, RESULT, BEST, "runs", "logs"}
_MOST_FAILURES = 3
"""The search ends if this many trials have failed before any has succeeded."""


@dataclass(frozen=True)
class TuningResult:
    """All trials of a search, and the best of them; scores are fractions."""

    name: str
    strategy: str
    seed: int
    measure: str
    """The score that ranks trials: F1 or accuracy, of the first metric, on validation data."""
    best: str | None
    """The name of the best trial, which is that of its run under `runs/`; None if no trial is finished."""
    validation: float | None
    test: float | None
    """Of the best trial. It was not used to choose it."""
    seconds: float
    """Wall-clock time of all training."""
    space: dict[str, dict[str, Any]]
    """The range of each key, as in the spec; for choices, their labels."""
    importance: dict[str, float]
    trials: list[dict[str, Any]]
    """Each with `name`, `state`, `validation`, `scores` after each epoch, and `parameters`."""

    def count(self, state: str) -> int:
        """Number of trials in a state: done, pruned, failed, running."""
        return sum(trial["state"] == state for trial in self.trials)


@dataclass
class TuningState:
    """The trials so far; also watched by displays."""

    plan: TuningPlan
    trials: list[Trial] = field(default_factory=list)
    note: str | None = None
    """Why the search ended before the number of trials was reached."""

    @property
    def best(self) -> Trial | None:
        """The finished trial with the best validation score; the first of several."""
        done = [trial for trial in self.trials if trial.state == "done"]
        return max(done, key=lambda trial: (trial.validation or 0.0, -trial.number), default=None)

    def count(self, state: str) -> int:
        """Number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)


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
    _check_folder(folder)
    with (
        disk_errors(folder, "free some space, then run the same command again"),
        locking.lock(folder / ".locks" / "sweep"),
    ):
        _store_plan(plan, folder)
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
        """Write `search.json` and `best.yaml`; importance is computed at the end only, since it takes seconds."""
        result = _result(self._state, queue.rows, final=final)
        atomic.write_json(self._folder / RESULT, asdict(result))
        if (best := self._state.best) is not None:
            atomic.write_text(self._folder / BEST, best_spec(self._state, best))
        return result


def best_spec(state: TuningState, best: Trial) -> str:
    """The spec of the best trial, which `sltk train` accepts, with a comment on where it comes from."""
    plan = state.plan
    values = "".join(
        f"#   {printable(key)}: {printable(plan.space[key].shown(value))}\n"
        for key, value in best.parameters.items()
    )
    score = f"validation {_measure(plan)}: {best.validation:.4f}"
    chosen_by = f"{best.name}; strategy {plan.settings.strategy}, seed {plan.settings.seed}"
    return (
        f"# The best of {len(state.trials)} trials of `sltk search` by {score}\n"
        f"# ({chosen_by}). What the search chose:\n"
        f"{values}{dump(plan.trial(best.number, best.parameters).experiment)}"
    )


def _measure(plan: TuningPlan) -> str:
    return "F1" if plan.first.experiment.metrics[0].needs_spans else "accuracy"


def _result(state: TuningState, rows: dict[str, Row], *, final: bool) -> TuningResult:
    plan, best = state.plan, state.best
    return TuningResult(
        name=plan.name,
        strategy=plan.settings.strategy,
        seed=plan.settings.seed,
        measure=_measure(plan),
        best=best.name if best is not None else None,
        validation=best.validation if best is not None else None,
        test=rows[best.name].test if best is not None else None,
        seconds=round(sum(row.seconds for row in rows.values()), 3),
        space={key: _range(plan, key) for key in plan.space},
        importance=importance(plan.space, state.trials) if final else {},
        trials=[_trial_values(trial) for trial in state.trials],
    )


def _range(plan: TuningPlan, key: str) -> dict[str, Any]:
    each = plan.space[key]
    values = list(each.choices) if each.range.bounds is None else list(each.range.bounds)
    return {each.range.kind: values}


def _trial_values(trial: Trial) -> dict[str, Any]:
    values = {"name": trial.name, "state": trial.state, "validation": trial.validation}
    return {**values, "scores": list(trial.scores), "parameters": dict(trial.parameters)}


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


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds no search over values of keys.

    Raises:
        UsageError: the folder is a file, or holds other files.
    """
    check_model_folder(folder)
    if not folder.exists() or (folder / PLAN).exists():
        return
    if not folder.is_dir():
        raise UsageError(f"`{folder}` is not a directory")
    names = {path.name for path in folder.iterdir()} - _FILES
    others = sorted(name for name in names if not name.startswith((".", "index.", FILE)))
    if others:
        shown = ", ".join(others[:3])
        raise UsageError(
            f"`{folder}` is not a search over a `space` and holds other files ({shown}); choose another --output"
        )


def _store_plan(plan: TuningPlan, folder: Path) -> None:
    """Write `search.yaml`, or check that the folder was started with the same spec.

    The number of trials may be changed, and the executor.

    Raises:
        UsageError: it was started with another spec.
    """
    path, now = folder / PLAN, plan.dump()
    if path.exists():
        try:
            before = read_mapping(path)
        except InputError as error:
            message = f"`{path}` cannot be read: {error.problems[0].message}"
            note = "remove it to write it again from the spec; trials of the spec are kept"
            raise UsageError(Problem(message, notes=(note,))) from error
        values = parse_stored_spec(now)
        stored = with_new_keys(before, values, plan.first.experiment)
        changed = list(differences(_comparable(stored), _comparable(values)))
        if changed:
            message = f"the search in `{folder}` was started with another spec"
            notes = (*changed[:8], "another --output starts a new search")
            raise UsageError(Problem(message, notes=notes))
    atomic.write_text(path, now)


def _comparable(values: dict[str, Any]) -> dict[str, Any]:
    section = values.get("search")
    kept = (
        {key: value for key, value in section.items() if key != "trials"}
        if isinstance(section, dict)
        else section
    )
    return {**values, "search": kept, "executor": None}


def sorted_trials(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials from the best to the worst: finished ones, those stopped early, then failed ones."""
    order = {"done": 0, "pruned": 1, "failed": 2, "running": 3}

    def place(trial: dict[str, Any]) -> tuple[int, float, int]:
        score = trial["validation"]
        return (
            order[trial["state"]],
            -(max(trial["scores"], default=0.0) if score is None else score),
            len(trial["scores"]),
        )

    return sorted(trials, key=place)
