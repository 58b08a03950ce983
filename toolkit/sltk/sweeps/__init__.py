"""Sweeps: many runs of one spec in which some keys vary.

plan = sweeps.plan("sweep.yaml")
outcome = sweeps.run(plan, "runs/sweep")
"""

from .index import Row
from .plan import Plan, PlannedRun, change, plan
from .runner import Outcome, Selection, read_status, run
from .status import Running, Status, Watcher

__all__ = [
    "Outcome",
    "Plan",
    "PlannedRun",
    "Row",
    "Running",
    "Selection",
    "Status",
    "Watcher",
    "change",
    "plan",
    "read_status",
    "run",
]
