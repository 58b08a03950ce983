"""Runs a search in the folder of a sweep; what is trained stays, and the same call goes on after a kill."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import sweeps
from ..errors import RunError
from ..files import atomic
from ..slots import Executor
from ..sweeps.queue import RunQueue
from ..sweeps.runner import OnChange
from .plan import SearchPlan
from .queue import SearchQueue
from .requests import FAILED, Search
from .strategies import STRATEGIES

RESULT = "search.json"


@dataclass(frozen=True)
class Tried:
    """One mask, as far as it was trained."""

    mask: str
    epochs: int
    """Evaluations that were asked of it; early stopping may have ended it before."""
    validation: float | None
    """The score there; None where the run failed."""
    finished: bool


@dataclass(frozen=True)
class Result:
    """What a search found, and what it cost; scores are fractions."""

    mask: str
    validation: float
    test: float | None
    run: str
    """Name of its run, under `runs/`."""
    strategy: str
    seed: int
    masks: int
    budget: float
    """Share of the exhaustive cost that could be spent."""
    spent: float
    """In full runs, the shared run and partial runs included."""
    share: float
    """What was spent, as a share of the cost of all masks."""
    seconds: float
    """Wall-clock time of everything that was trained."""
    tried: list[Tried]
    shared: dict[str, float]
    """Scores of all masks with shared weights, where the strategy has them."""


def begin(plan: SearchPlan) -> Search:
    """The strategy at its start; the data is read, to know what things cost.

    Raises:
        InvalidSpecError: the budget is too small for the strategy.
    """
    return Search(STRATEGIES[plan.settings.strategy], plan.space(), plan.settings.seed)


def run(
    plan: SearchPlan,
    folder: str | Path,
    *,
    search: Search | None = None,
    executor: Executor | None = None,
    retry: bool = False,
    on_change: OnChange = "refuse",
    watcher: sweeps.Watcher | None = None,
) -> Result:
    """Search, and write `search.json`. The folder is that of a sweep, which `sltk sweep` can complete.

    Args:
        plan: as `plan` makes it.
        folder: of the search; runs that are finished there are not trained again, and are charged as if they were.
        search: as `begin` gives it, for who wants to watch it.
        executor, retry, on_change, watcher: as in `sweeps.run`.

    Raises:
        UsageError: another process works in the folder; or it holds another plan, or something else.
        RunError: the disk is full, the shared run failed, or no run was finished.
    """
    folder, search = Path(folder), search or begin(plan)
    made: list[SearchQueue] = []

    def queue(*given: Any) -> RunQueue:
        made.append(SearchQueue(plan, search, *given))
        return made[0]

    seed = plan.experiment.seed
    select = sweeps.Selection(only=(f"seed={seed}",) if len(plan.seeds) > 1 else (), retry=retry)
    sweeps.run(
        plan.sweep,
        folder,
        executor=executor,
        select=select,
        on_change=on_change,
        watcher=watcher,
        queue=queue,
    )
    _check(made[0], search, folder)
    result = _result(plan, search, made[0])
    atomic.write_json(folder / RESULT, asdict(result))
    return result


def _check(queue: SearchQueue, search: Search, folder: Path) -> None:
    """See that the search came to its end.

    Raises:
        RunError: it did not.
    """
    if queue.stopped is not None:
        note = "   = make room, then the same command goes on"
        raise RunError(f"the search stopped, for the disk is full: {queue.stopped}\n{note}")
    logs = f"   = logs: {folder}/logs"
    if queue.shared_failed is not None:
        raise RunError(f"the shared run failed: {queue.shared_failed}\n{logs}; the same command tries again")
    if search.space.found is None:
        reasons = [row.reason for row in queue.rows.values() if row.state in ("failed", "damaged")]
        said = "".join(f"\n   = {reason.splitlines()[0]}" for reason in dict.fromkeys(reasons) if reason)
        raise RunError(f"no run was finished{said}\n{logs}; `--retry` runs again what failed")


def _result(plan: SearchPlan, search: Search, queue: SearchQueue) -> Result:
    space = search.space
    found = space.found
    assert found is not None
    row = queue.rows[plan.runs[found].name]
    names = {queue.name(request) for request in search.asked}
    return Result(
        mask=found, validation=space.finished[found], test=row.test, run=row.name,
        strategy=plan.settings.strategy, seed=plan.experiment.seed, masks=len(plan.runs),
        budget=plan.settings.budget, spent=round(space.spent, 4), share=round(space.spent / len(plan.runs), 4),
        seconds=round(sum(queue.rows[name].seconds for name in names), 3),
        tried=tried(search), shared=space.shared,
    )  # fmt: skip


def tried(search: Search) -> list[Tried]:
    """Every mask that was trained, the furthest first, and of these the best."""
    space = search.space
    last = {trial.mask: (trial.epochs, score) for trial, score in space.scores.items()}
    ordered = sorted(last.items(), key=lambda item: item[1], reverse=True)
    return [
        Tried(mask, epochs, None if score == FAILED else score, epochs == space.epochs and score != FAILED)
        for mask, (epochs, score) in ordered
    ]
