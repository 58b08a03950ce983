"""The trials of a search over values of keys so far, and what `search.json` and `best.yaml` say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...files.safety import printable
from ...spec.writing import dump
from ...sweeps.index import Row
from .proposals import importance
from .trial_files import Trial
from .tuning_plan import TuningPlan


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


def result_of(state: TuningState, rows: dict[str, Row], *, final: bool) -> TuningResult:
    """All trials so far; with `final`, also the importance of each key, which takes seconds to compute."""
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
