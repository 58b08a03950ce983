"""The work of a search: requests of the strategy as runs for an executor, answered from what is on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import Loaded
from ..executors.work import Failure, Job
from ..spec import Experiment
from ..sweeps.index import Row
from ..sweeps.plan import PlannedRun
from ..sweeps.queue import RunQueue
from .plan import SearchPlan
from .requests import FAILED, Answer, Request, Search, Shared

SHARED = ".shared"
"""Name of the shared run: hidden, since it is no run of any mask."""
_TRAINING = "sltk.search.training"


class SearchQueue(RunQueue):
    """Hands out what the strategy asks for, and tells it what came of it."""

    def __init__(self, plan: SearchPlan, search: Search, *given: Any) -> None:
        super().__init__(*given)
        self.plan, self.search = plan, search
        self.shared_failed: str | None = None
        self._runs = {run.name: run for run in plan.runs.values()} | {SHARED: shared_run(plan)}
        self._waiting.clear()
        self._asked: dict[str, Request] = {}
        """Requests that are waiting or running, by the name of the run."""

    def next(self) -> Job | None:
        """The next run that the strategy wants; None where it waits for others, or is done."""
        if not self._waiting and not self.shared_failed:
            self.ask()
        return super().next()

    def is_idle(self) -> bool:
        """Whether the strategy wants nothing that is not on disk."""
        self.ask()
        return not self._waiting

    def ask(self) -> None:
        """Let the strategy go on as far as what is on disk can answer it."""
        while todo := self.search.open():
            for request in todo:
                if isinstance(request, Shared):
                    self.rows |= {SHARED: self._shared_row()}
                answer = self._known(request)
                if answer is not None:
                    self.search.answer(request, answer)
                elif self.name(request) not in self._asked:
                    name = self.name(request)
                    self._asked[name] = request
                    self._waiting.append(name)
            if self._asked:
                return

    def _shared_row(self) -> Row:
        known = self._index.rows().get(SHARED)
        digest = self._runs[SHARED].digest
        if known is None or known.digest != digest or known.state == "failed":
            return Row(SHARED, digest)
        return replace(known, state="done" if self._shared_scores() else "waiting")

    def name(self, request: Request) -> str:
        """The name of the run that answers a request."""
        return SHARED if isinstance(request, Shared) else self.plan.runs[request.mask].name

    def _known(self, request: Request) -> Answer | None:
        """The answer that the folder of the search holds; None where there is something to train."""
        if isinstance(request, Shared):
            return self._shared_scores()
        row = self.rows[self.name(request)]
        if row.name in self._force:
            return None
        if row.state in ("failed", "damaged"):
            return FAILED
        if request.epochs < self.search.space.epochs:
            return self._partial(row, request.epochs)
        if row.state != "done":
            return None
        return FAILED if row.validation is None else row.validation

    def _partial(self, row: Row, epochs: int) -> float | None:
        """The score after so many epochs; the last one of a run that early stopping ended before."""
        reached = evaluations(self.folder / "runs" / row.name / "log.jsonl")
        if len(reached) >= epochs:
            return reached[epochs - 1]
        if row.state != "done":
            return None
        return reached[-1] if reached else FAILED

    def _shared_scores(self) -> Mapping[str, float] | None:
        path = self.folder / "runs" / SHARED / "scores.json"
        if not path.exists():
            return None
        scores: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["scores"]
        return scores if scores.keys() == self.plan.runs.keys() else None

    def _job(self, name: str) -> Job:
        job, request = super()._job(name), self._asked[name]
        if isinstance(request, Shared):
            return replace(job, function=f"{_TRAINING}:shared", options={"masks": list(self.plan.runs)})
        if request.epochs < self.search.space.epochs:
            return replace(job, function=f"{_TRAINING}:partial", options={"epochs": request.epochs})
        return job

    def finished(self, name: str, metrics: dict[str, Any]) -> None:
        """Write down that a run is done, or paused, and go on."""
        if "paused" in metrics:
            row = replace(self.rows[name], state="waiting", seconds=self._spent(name))
            self._running.pop(name)
            self._put(row)
            self._watcher.ended(row, self.status())
        else:
            super().finished(name, metrics)
        self._asked.pop(name)
        self._force -= {name}

    def failed(self, name: str, failure: Failure) -> None:
        """Write down that a run failed; without the shared run there is no search."""
        super().failed(name, failure)
        self._give_up(name)

    def died(self, name: str, reason: str) -> None:
        """Have it done again, unless it has died too often."""
        super().died(name, reason)
        if self.rows[name].state == "failed":
            self._give_up(name)

    def _give_up(self, name: str) -> None:
        self._asked.pop(name)
        if name == SHARED and self.stopped is None:
            self.shared_failed = self.rows[name].reason


def evaluations(log: Path) -> list[float]:
    """Validation scores that a run has logged, one an evaluation; a line cut short by a kill is passed over."""
    found: dict[int, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if "eval_score" in values:
            found[values.get("step", 0)] = float(values["eval_score"])
    return [found[step] for step in sorted(found)]


def shared_run(plan: SearchPlan, seed: int | None = None) -> PlannedRun:
    """The run of the model that all masks share: no test, and the last epoch, since no epoch is the best of all."""
    experiment = plan.experiment
    trainer = experiment.trainer.model_copy(update={"select": "last", "early_stopping": None})
    data = experiment.data.model_copy(update={"test": None})
    changes = {
        "name": "shared",
        "trainer": trainer,
        "data": data,
        "seed": experiment.seed if seed is None else seed,
    }
    changed: Experiment = experiment.model_copy(update=changes)
    return PlannedRun(SHARED, {}, Loaded(changed, plan.loaded.tree))
