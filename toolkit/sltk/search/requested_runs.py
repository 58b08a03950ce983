"""Turns the requests of a strategy into runs of a sweep, and answers them from the folder of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Problem, UsageError
from ..files.damage import damaged, read_json
from ..spec.experiment import Experiment
from ..spec.loading import Loaded
from ..sweeps.index import Row
from ..sweeps.plan import PlannedRun
from ..sweeps.queue import RunQueue
from .search_plan import SearchPlan
from .search_spec import LEARNED, GateSpec
from .space import FAILED, FIRST_RUNS, Answer, Search

SCORES = "scores.json"
"""In the directory of a first run: a score for each mask, and for a learned mask, how open each block is."""


class RequestedRuns:
    """Fills the queue of a sweep with the runs that a strategy requests.

    Keeps no separate record: the rows of the queue say which runs are done, running or failed.
    """

    def __init__(self, plan: SearchPlan, search: Search) -> None:
        self._plan, self._search = plan, search

    def fill(self, queue: RunQueue) -> None:
        """Answer all requests that finished runs can answer, and queue the runs of the others."""
        while requests := self._search.open_requests():
            answers = {request: self._answer(request, queue) for request in requests}
            for request, answer in answers.items():
                if answer is not None:
                    self._search.answer(request, answer)
            if None in answers.values():
                return

    def _answer(self, request: str, queue: RunQueue) -> Answer | None:
        """The answer to a request; None after queueing the run that will give it."""
        if request in FIRST_RUNS.values():
            return self._ranking(request, queue)
        run = self._plan.runs[request]
        row = queue.rows[run.name]
        if row.state in ("failed", "damaged"):
            return FAILED
        if row.state == "done":
            return FAILED if row.validation is None else row.validation
        queue.add(run)
        return None

    def _ranking(self, name: str, queue: RunQueue) -> Mapping[str, float] | None:
        path = queue.folder / "runs" / name / SCORES
        scores = _stored_scores(path) if path.exists() else {}
        is_done = scores.keys() == self._plan.runs.keys()
        run = plan_first_run(self._plan)
        if name not in queue.rows:
            row = queue.indexed_row(run)
            if row.state == "failed":  # there is no search without the first run: each call tries it again
                row = Row(name, run.digest)
            queue.rows[name] = replace(row, state="done" if is_done else "waiting")
        if is_done:
            if self._plan.settings.strategy in LEARNED:
                check_gates(path, self._plan.settings.gates)
            return scores
        queue.add(run, **first_job(self._plan))
        return None


def first_job(plan: SearchPlan) -> dict[str, Any]:
    """The function that executes the first run of a strategy, and its options."""
    strategy, masks = plan.settings.strategy, list(plan.runs)
    if strategy not in LEARNED:
        return {"function": f"{__package__}.shared_run:train_shared", "options": {"masks": masks}}
    gates = plan.settings.gates.model_dump(mode="json")
    return {
        "function": f"{__package__}.learned_run:train_learned",
        "options": {"masks": masks, "strategy": strategy, "gates": gates},
    }


def plan_first_run(plan: SearchPlan, seed: int | None = None) -> PlannedRun:
    """The run that trains one model for all masks, or one that learns its mask.

    It keeps its last epoch: no epoch is best for every mask, and the learned mask is that of the last. It has no test
    data unless its model has one mask at the end.
    """
    experiment, strategy = plan.experiment, plan.settings.strategy
    changes: dict[str, Any] = {
        "name": strategy,
        "trainer": experiment.trainer.model_copy(update={"select": "last", "early_stopping": None}),
        "seed": experiment.seed if seed is None else seed,
    }
    if strategy not in LEARNED:
        changes["data"] = experiment.data.model_copy(update={"test": None})
    changed: Experiment = experiment.model_copy(update=changes)
    return PlannedRun(FIRST_RUNS[strategy], {}, Loaded(changed, plan.loaded.tree))


def check_gates(path: Path, settings: GateSpec) -> None:
    """Check that a mask was learned, or is being learned, with these settings.

    Raises:
        UsageError: it was learned with others.
    """
    stored = read_json(path).get("settings")
    if stored != settings.model_dump(mode="json"):
        message = f"the mask in `{path.parent}` was learned with other `gates`"
        raise UsageError(Problem(message, notes=("use another --output, or remove that folder",)))


def _stored_scores(path: Path) -> dict[str, float]:
    scores = read_json(path).get("scores")
    if not isinstance(scores, dict) or not all(isinstance(value, int | float) for value in scores.values()):
        raise damaged(path, "`scores` is not a number for each mask", "remove it to score the masks again")
    return scores
