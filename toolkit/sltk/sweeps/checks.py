"""What can be known of all runs of a plan before any of them is begun."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from .. import audit as audits
from .. import data
from ..config import InvalidSpecError
from ..errors import Problem
from ..estimates.estimate import check_model
from .plan import Plan, PlannedRun


def check_models(plan: Plan) -> None:
    """See that masks and LoRA targets fit their models, as far as these are known.

    Raises:
        InvalidSpecError: they do not, in some run.
        ModelError: a model's files on this machine are damaged.
    """
    problems: dict[Any, Problem] = {}
    for run in _different(plan, "backbone"):
        try:
            check_model(run.loaded)
        except InvalidSpecError as error:
            problems |= {(each.message, each.location): each for each in error.problems}
    if problems:
        raise InvalidSpecError(list(problems.values()))


def missing_files(plan: Plan) -> list[Problem]:
    """A problem for each data file that is not there."""
    return _once(
        plan, lambda run: data.missing_files(run.loaded, data.readers_of(run.loaded.experiment.data))
    )


def audit(plan: Plan) -> list[Problem]:
    """Read the data of all runs and look it over.

    Raises:
        DataError: a source is missing or malformed.
    """
    return _once(plan, lambda run: audits.audit(run.loaded).warnings)


def _once(plan: Plan, look: Callable[[PlannedRun], list[Problem]]) -> list[Problem]:
    found = [problem for run in _different(plan, "data", "scheme") for problem in look(run)]
    return list({(each.message, each.location): each for each in found}.values())


def _different(plan: Plan, *keys: str) -> Iterator[PlannedRun]:
    """One run for each value that these keys have."""
    seen: set[str] = set()
    for run in plan.runs:
        value = json.dumps([run.resolved.get(key) for key in keys], sort_keys=True)
        if value not in seen:
            seen.add(value)
            yield run
