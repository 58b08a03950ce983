"""Runs a search in the folder of a sweep. Finished runs are kept, and the same call resumes after a kill."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from .. import sweeps
from ..components.slots import Executor
from ..errors import RunError
from ..files import atomic
from ..sweeps.runner import OnChange
from .requested_runs import RequestedRuns
from .search_plan import SearchPlan
from .search_spec import LEARNED
from .space import FAILED, FIRST_RUNS, Search, Space
from .strategies import STRATEGIES

RESULT = "search.json"


@dataclass(frozen=True)
class Tried:
    """One mask that was trained."""

    mask: str
    validation: float | None
    """None if the run failed."""
    finished: bool
    """Whether the run did not fail."""


@dataclass(frozen=True)
class SearchResult:
    """The best mask of a search, and what the search cost; scores are fractions."""

    mask: str
    validation: float
    test: float | None
    run: str
    """Name of its run, under `runs/`."""
    strategy: str
    seed: int
    masks: int
    budget: float
    """The budget, as a share of the cost of training all masks."""
    spent: float
    """The cost in full runs, including the shared run."""
    share: float
    """The cost as a share of training all masks."""
    seconds: float
    """Wall-clock time of all training."""
    tried: list[Tried]
    shared: dict[str, float]
    """Scores of all masks with the shared weights; empty for strategies without a shared run."""
    learned: dict[str, float]
    """The log-likelihood of all masks under the learned gates; empty for strategies that learn no mask."""


def begin(plan: SearchPlan) -> Search:
    """Start the strategy; reads the data to compute costs.

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
    trust_code: bool = False,
) -> SearchResult:
    """Search, and write `search.json`. The folder is that of a sweep, which `sltk sweep` can complete.

    Args:
        plan: the result of `plan()`.
        folder: the folder of the search; finished runs in it are not trained again, but count towards the cost.
        search: the result of `begin()`, to watch the search while it runs.
        executor, retry, on_change, watcher, trust_code: as in `sweeps.run`.

    Raises:
        UsageError: another process is using the folder, or the folder holds another plan or other files.
        RunError: the disk is full, the first run failed, or no run finished.
    """
    folder, search = Path(folder), search or begin(plan)
    only = (f"seed={plan.experiment.seed}",) if len(plan.seeds) > 1 else ()
    outcome = sweeps.run(
        plan.sweep,
        folder,
        executor=executor,
        select=sweeps.Selection(only=only, retry=retry),
        on_change=on_change,
        watcher=watcher,
        fill=RequestedRuns(plan, search).fill,
        trust_code=trust_code,
    )
    result = _result(plan, search, outcome)
    atomic.write_json(folder / RESULT, asdict(result))
    return result


def _result(plan: SearchPlan, search: Search, outcome: sweeps.Outcome) -> SearchResult:
    """The result of a completed search.

    Raises:
        RunError: the search could not be completed.
    """
    space, rows = search.space, outcome.rows
    if outcome.stopped is not None:
        note = "   = free some space, then run the same command to resume"
        raise RunError(f"the search stopped because the disk is full: {outcome.stopped}\n{note}")
    logs = f"   = logs: {outcome.folder}/logs"
    strategy = plan.settings.strategy
    first = rows.get(FIRST_RUNS.get(strategy, ""))
    if first is not None and first.state == "failed":
        about = "run that learns the mask" if strategy in LEARNED else "shared run"
        raise RunError(
            f"the {about} failed: {first.reason.removeprefix('error: ')}\n{logs}; run the same command to try again"
        )
    if space.best is None:
        reasons = dict.fromkeys(row.reason for row in rows.values() if row.state in ("failed", "damaged"))
        listed = "".join(f"\n   = {reason.splitlines()[0]}" for reason in reasons if reason)
        raise RunError(f"no run was finished{listed}\n{logs}; `--retry` runs failed runs again")
    row = rows[plan.runs[space.best].name]
    names = {plan.runs[request].name if request in plan.runs else request for request in search.requests}
    return SearchResult(
        mask=space.best, validation=space.finished[space.best], test=row.test, run=row.name,
        strategy=strategy, seed=plan.experiment.seed, masks=len(plan.runs),
        budget=plan.settings.budget, spent=round(space.spent, 4), share=round(space.spent / len(plan.runs), 4),
        seconds=round(sum(rows[name].seconds for name in names), 3),
        tried=_tried(space), shared=space.ranking if strategy == "shared" else {},
        learned=space.ranking if strategy in LEARNED else {},
    )  # fmt: skip


def _tried(space: Space) -> list[Tried]:
    """Every mask that was trained, best first."""
    finished = space.finished
    best_first = sorted(finished, key=finished.__getitem__, reverse=True)
    failed = [mask for mask in space.masks if space.scores.get(mask) == FAILED]
    return [
        *(Tried(mask, finished[mask], True) for mask in best_first),
        *(Tried(mask, None, False) for mask in failed),
    ]
