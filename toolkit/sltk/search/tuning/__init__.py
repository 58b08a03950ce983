"""`sltk search` over any keys of a spec: values are proposed by Optuna, trial by trial.

plan = tuning.plan("search.yaml")
result = tuning.run(plan, "runs/search")

    tuning_spec.py     the keys of `search:` with a `space`
    tuning_plan.py     what may be tried: each value is validated before the first trial
    proposals.py       the next trial, and the importance of each key
    pruning.py         whether a trial is stopped after an epoch
    trial_run.py       trains one trial; in the processes that train
    trial_files.py     trials as their run directories record them
    trial_storage.py   trials in Optuna's SQLite file
    tuning_folder.py   what the folder of a search may hold
    tuning_result.py   `search.json` and `best.yaml`
    tuning_runner.py   runs a search in its folder, and resumes it

Imports neither torch nor Optuna before a search runs.
"""

from .trial_files import Trial
from .tuning_plan import TuningPlan, has_space, plan
from .tuning_result import TuningResult, TuningState
from .tuning_runner import begin, run
from .tuning_spec import TuningPart, TuningSpec

__all__ = [
    "Trial",
    "TuningPart",
    "TuningPlan",
    "TuningResult",
    "TuningSpec",
    "TuningState",
    "begin",
    "has_space",
    "plan",
    "run",
]
