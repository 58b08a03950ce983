"""`sltk search`: find the best mask without training all of them.

plan = search.plan("search.yaml")
result = search.run(plan, "runs/search")

    strategies.py         READ THIS FIRST: how masks are chosen
    space.py              what a strategy may request, and what it costs
    gaussian_process.py   predicts the scores of masks that were not trained
    search_plan.py, requested_runs.py, search_runner.py, shared_run.py    train what is requested, in a sweep folder

Imports no torch; `shared_run.py` is imported only in the processes that train.
"""

from .gaussian_process import GaussianProcess, Posterior
from .search_plan import SearchPlan, plan
from .search_runner import SearchResult, begin, run
from .space import Search, Space
from .strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "GaussianProcess",
    "Posterior",
    "Search",
    "SearchPlan",
    "SearchResult",
    "Space",
    "begin",
    "plan",
    "run",
]
