"""Decides after an epoch whether a trial is stopped, by the validation scores of earlier trials, through Optuna.

`median`: Golovin et al. 2017, "Google Vizier", section 3.2. `halving`: asynchronous successive halving, Li et al. 2020,
"A System for Massively Parallel Hyperparameter Tuning".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from .proposals import load_optuna
from .tuning_spec import PruningSpec


class PastTrial(TypedDict):
    """What a decision needs of an earlier trial, as plain values."""

    scores: list[float]
    """The validation score after each epoch."""
    validation: float | None
    """The score of its model; None if it was stopped early."""


def is_hopeless(rule: PruningSpec, past: Sequence[PastTrial], scores: Sequence[float]) -> bool:
    """Whether a trial with these scores after its first epochs is stopped."""
    if rule.rule == "none" or not scores:
        return False
    optuna = load_optuna()
    study = optuna.create_study(direction="maximize", pruner=_pruner(optuna, rule))
    for each in past:
        study.add_trial(_past_trial(optuna, rule, each))
    trial = study.ask()
    decision = False
    for epoch, score in enumerate(scores, start=1):
        trial.report(score, epoch)
        decision = trial.should_prune()
    return bool(decision)


def _pruner(optuna: Any, rule: PruningSpec) -> Any:
    if rule.rule == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=rule.startup, n_warmup_steps=rule.min_epochs)
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=rule.min_epochs, reduction_factor=rule.factor, min_early_stopping_rate=0
    )


def _past_trial(optuna: Any, rule: PruningSpec, past: PastTrial) -> Any:
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state=states.PRUNED if past["validation"] is None else states.COMPLETE,
        value=past["validation"],
        intermediate_values=dict(enumerate(past["scores"], start=1)),
        system_attrs=_rungs(rule, past["scores"]),
    )


def _rungs(rule: PruningSpec, scores: Sequence[float]) -> dict[str, float]:
    """The scores after the epochs at which `halving` decides, under the names that Optuna's rule records."""
    rungs: dict[str, float] = {}
    epoch = rule.min_epochs
    while rule.rule == "halving" and epoch <= len(scores):
        rungs[f"completed_rung_{len(rungs)}"] = scores[epoch - 1]
        epoch *= rule.factor
    return rungs
