"""Turns the requests of a strategy into runs of a sweep, and answers them from the folder of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..files.damage import damaged, read_json
from ..spec.experiment import Experiment
from ..spec.loading import Loaded
from ..sweeps.index import Row
from ..sweeps.plan import PlannedRun
from ..sweeps.queue import RunQueue
from .search_plan import SearchPlan
from .space import FAILED, SHARED, Answer, Search

SCORES = "scores.json"
"""In the directory of the shared run: the score of each mask with its weights."""


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
        if request == SHARED:
            return self._shared_answer(queue)
        run = self._plan.runs[request]
        row = queue.rows[run.name]
        if row.state in ("failed", "damaged"):
            return FAILED
        if row.state == "done":
            return FAILED if row.validation is None else row.validation
        queue.add(run)
        return None

    def _shared_answer(self, queue: RunQueue) -> Mapping[str, float] | None:
        path = queue.folder / "runs" / SHARED / SCORES
        scores = _stored_scores(path) if path.exists() else {}
        is_done = scores.keys() == self._plan.runs.keys()
        run = plan_shared_run(self._plan)
        if SHARED not in queue.rows:
            row = queue.indexed_row(run)
            if row.state == "failed":  # there is no search without the shared run: each call tries it again
                row = Row(SHARED, run.digest)
            queue.rows[SHARED] = replace(row, state="done" if is_done else "waiting")
        if is_done:
            return scores
        function = f"{__package__}.shared_run:train_shared"
        queue.add(run, function=function, options={"masks": list(self._plan.runs)})
        return None


def plan_shared_run(plan: SearchPlan, seed: int | None = None) -> PlannedRun:
    """The run that trains one model for all masks. It has no test data, and keeps its last epoch: no epoch is best
    for every mask.
    """
    experiment = plan.experiment
    changes = {
        "name": "shared",
        "trainer": experiment.trainer.model_copy(update={"select": "last", "early_stopping": None}),
        "data": experiment.data.model_copy(update={"test": None}),
        "seed": experiment.seed if seed is None else seed,
    }
    changed: Experiment = experiment.model_copy(update=changes)
    return PlannedRun(SHARED, {}, Loaded(changed, plan.loaded.tree))


def _stored_scores(path: Path) -> dict[str, float]:
    scores = read_json(path).get("scores")
    if not isinstance(scores, dict) or not all(isinstance(value, int | float) for value in scores.values()):
        raise damaged(path, "`scores` is not a number for each mask", "remove it to score the masks again")
    return scores
