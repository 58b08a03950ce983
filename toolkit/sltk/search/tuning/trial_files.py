"""Trials, and how their run directories record them: which values they have, and how far they came.

`trial.json` in a run directory has the number and the values of the trial, and says if it was stopped early.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import DataError
from ...files import atomic
from ...rundir.log import read_log
from ...spec.stored import read_mapping
from ...sweeps.index import Row
from .space_values import Parameters, SpaceKey
from .tuning_plan import run_name

TRIAL = "trial.json"
TrialState = Literal["running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial: the values that it tries, and its scores."""

    number: int
    parameters: Parameters
    state: TrialState = "running"
    """`running` until it has ended, also while it waits to be resumed."""
    scores: tuple[float, ...] = ()
    """The validation score after each epoch, as far as it was trained."""
    validation: float | None = None
    """The validation score of its model, for `done` only."""

    @property
    def name(self) -> str:
        """The name of its run."""
        return run_name(self.number)

    @property
    def identity(self) -> str:
        """Equal for equal values."""
        return json.dumps(dict(self.parameters), sort_keys=True)

    def ended(self, row: Row, folder: Path) -> Trial:
        """The trial after its run has ended; `folder` is its run directory."""
        scores = epoch_scores(folder) or self.scores
        if row.state == "done" and row.validation is not None:
            return replace(self, state="done", scores=scores, validation=row.validation)
        return replace(
            self, state="pruned" if row.state == "pruned" else "failed", scores=scores, validation=None
        )


def epoch_scores(folder: Path) -> tuple[float, ...]:
    """The validation score after each epoch, according to the log of a run; empty without a log."""
    lines, _ = read_log(folder / "log.jsonl")
    return tuple(
        float(line["eval_score"]) for line in lines if isinstance(line.get("eval_score"), int | float)
    )


def write_trial(
    folder: Path, number: int, parameters: Parameters, pruned: Mapping[str, Any] | None = None
) -> None:
    """Write `trial.json` into a run directory."""
    values = {"number": number, "parameters": dict(parameters)}
    atomic.write_json(folder / TRIAL, values if pruned is None else {**values, "pruned": dict(pruned)})


def stored_trial(runs: Path, number: int, space: Mapping[str, SpaceKey]) -> Trial | None:
    """The trial with this number according to its run directory, before its outcome is known; None without one.

    A file that is damaged, or has other keys or values than the space, counts as none.
    """
    try:
        values = read_mapping(runs / run_name(number) / TRIAL)
    except DataError:
        return None
    parameters = values.get("parameters")
    if values.get("number") != number or not isinstance(parameters, dict) or not fits(parameters, space):
        return None
    return Trial(number, {key: parameters[key] for key in space})


def fits(parameters: Any, space: Mapping[str, SpaceKey]) -> bool:
    """Whether stored values are values of the space."""
    return (
        isinstance(parameters, dict)
        and parameters.keys() == space.keys()
        and all(space[key].contains(value) for key, value in parameters.items())
    )


def pruned_reason(folder: Path) -> str | None:
    """Why the run was stopped early, according to `trial.json`; None if it was not."""
    try:
        pruned = read_mapping(folder / TRIAL).get("pruned")
    except DataError:
        return None
    return reason_text(pruned) if isinstance(pruned, dict) else None


def reason_text(pruned: Mapping[str, Any]) -> str:
    """`stopped after epoch 2, validation 0.4312`."""
    score = pruned.get("score")
    shown = f", validation {score:.4f}" if isinstance(score, int | float) else ""
    return f"stopped after epoch {pruned.get('epoch')}{shown}"
