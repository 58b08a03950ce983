"""Sweeps: many runs of one spec in which some keys vary.

plan = sweeps.plan("sweep.yaml")
outcome = sweeps.run(plan, "runs/sweep")
"""

from .checks import audit, check_models, missing_files
from .index import Row
from .plan import Change, Plan, PlannedRun, change, is_sweep, plan
from .runner import Outcome, Selection, look, run
from .status import Running, Status, Watcher

__all__ = [
    "Change",
    "Outcome",
    "Plan",
    "PlannedRun",
    "Row",
    "Running",
    "Selection",
    "Status",
    "Watcher",
    "audit",
    "change",
    "check_models",
    "is_sweep",
    "look",
    "missing_files",
    "plan",
    "run",
]
