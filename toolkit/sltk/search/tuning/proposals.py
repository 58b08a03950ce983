"""Proposes the values of the next trial, and measures how much each key matters; both through Optuna.

Optuna sees the trials so far as a study in memory, which is made anew for each proposal. The draws of a proposal depend
only on the seed and on the number of the trial: so a search that is interrupted proposes the same as one that is not.

TPE: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; Optuna draws all keys together (Falkner et
al. 2018). Trials that are still running count as bad ones, so that parallel trials differ ("constant liar").
Importance: fANOVA, Hutter et al. 2014. PED-ANOVA, the default of Optuna, looks at the best tenth of the trials: with
fewer than a hundred of them, it ranks keys that make no difference first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ...runtime.optional_imports import import_optional
from .space_values import Parameters, SpaceKey
from .trial_files import Trial
from .tuning_spec import TuningSpec

_ATTEMPTS = 100
"""Proposals for one trial until one has not been tried; the later half is random."""
_FEWEST = 10
"""Finished trials that importance needs: with fewer, it is mostly chance."""


def load_optuna() -> Any:
    """Optuna, without its messages on standard error.

    Raises:
        UsageError: it is not installed; the message names the extra.
    """
    optuna = import_optional("optuna", "a search with `space`", "search")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    return optuna


def propose(
    space: Mapping[str, SpaceKey], settings: TuningSpec, trials: Sequence[Trial], number: int
) -> Parameters | None:
    """The values of trial `number`, which no earlier trial has; None if no others are found."""
    optuna = load_optuna()
    tried = {trial.identity for trial in trials}
    for attempt in range(_ATTEMPTS):
        seed = Random(f"{settings.seed} {number} {attempt}").getrandbits(32)
        if settings.strategy == "tpe" and attempt < _ATTEMPTS // 2:
            sampler = optuna.samplers.TPESampler(n_startup_trials=settings.random_trials, seed=seed)
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
        study = _study(optuna, space, trials, sampler)
        drawn = study.ask(_distributions(optuna, space)).params
        parameters = {key: each.rounded(drawn[key]) for key, each in space.items()}
        if Trial(number, parameters).identity not in tried:
            return parameters
    return None


def importance(space: Mapping[str, SpaceKey], trials: Sequence[Trial]) -> dict[str, float]:
    """The share of each key in the variance of the scores, most important first; the shares sum to 1.

    Only finished trials count. Empty with fewer than ten of them, or if all scores are equal.
    """
    done = [trial for trial in trials if trial.state == "done"]
    if len(done) < _FEWEST or len({trial.validation for trial in done}) == 1:
        return {}
    optuna = load_optuna()
    study = _study(optuna, space, done, optuna.samplers.RandomSampler(seed=0))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: round(float(share), 6) for key, share in shares.items()}


def _distributions(optuna: Any, space: Mapping[str, SpaceKey]) -> dict[str, Any]:
    return {key: each.distribution(optuna) for key, each in space.items()}


def _study(optuna: Any, space: Mapping[str, SpaceKey], trials: Sequence[Trial], sampler: Any) -> Any:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        study.add_trial(frozen_trial(optuna, space, trial))
    return study


def frozen_trial(optuna: Any, space: Mapping[str, SpaceKey], trial: Trial) -> Any:
    """A trial as Optuna stores it."""
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state={"done": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}.get(
            trial.state, states.RUNNING
        ),
        value=trial.validation,
        params=dict(trial.parameters),
        distributions=_distributions(optuna, space),
        intermediate_values=dict(enumerate(trial.scores, start=1)),
        user_attrs={"run": trial.name},
    )
