"""`sltk search`: the best mask without training all of them.

plan = search.plan("search.yaml")
result = search.run(plan, "runs/search")

    strategies.py    READ THIS FIRST: how masks are chosen
    requests.py      what a strategy may ask for, and what it costs
    surrogate.py     what to expect of masks that were not trained
    plan.py, queue.py, runner.py, training.py    answers by training, in the folder of a sweep
    recorded.py      answers from a table of finished runs, to measure regret

Imports no torch; `training.py` is imported where runs run.
"""

from .plan import SearchPlan, plan
from .recorded import Replayed, SharedRecord, Table, read_shared, replay, table
from .requests import FAILED, Request, Search, Shared, Space, Strategy, Trial
from .runner import Result, Tried, begin, run, tried
from .strategies import STRATEGIES
from .surrogate import Expected, Surrogate

__all__ = [
    "FAILED",
    "STRATEGIES",
    "Expected",
    "Replayed",
    "Request",
    "Result",
    "Search",
    "SearchPlan",
    "Shared",
    "SharedRecord",
    "Space",
    "Strategy",
    "Surrogate",
    "Table",
    "Trial",
    "Tried",
    "begin",
    "plan",
    "read_shared",
    "replay",
    "run",
    "table",
    "tried",
]
