"""`sltk check` of a sweep: every run is checked, and what is the same in many is told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .frame import tell, warn, write
from .search_commands import told

if TYPE_CHECKING:
    from ..sweeps import Plan


def check_sweep(
    spec: Path, overrides: Sequence[str], *, data: bool, as_json: Callable[[Problem], dict[str, Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    """What `check --json` says of a sweep, and the warnings.

    Raises:
        InvalidSpecError: the spec, or that of a run, is wrong; or with `data` files are missing.
    """
    from .. import sweeps

    return _checked(sweeps.plan(spec, overrides), spec, data=data, as_json=as_json)


def _checked(
    plan: Plan, spec: Path, *, data: bool, as_json: Callable[[Problem], dict[str, Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    from .. import config, sweeps

    for path in plan.imported:
        tell(f"imported {path}")
    sweeps.check_models(plan)
    warnings = sweeps.missing_files(plan)
    if data and warnings:
        raise config.InvalidSpecError(warnings)
    warnings += sweeps.audit(plan) if data else []
    report = {
        "spec": str(spec),
        "sound": True,
        "warnings": [as_json(problem) for problem in warnings],
        "runs": [{"name": run.name, "settings": dict(run.settings)} for run in plan.runs],
        "executor": plan.executor.model_dump(mode="json"),
        "resolved": plan.runs[0].resolved,
    }
    return report, warnings


def check_search(
    spec: Path, overrides: Sequence[str], *, data: bool, as_json: Callable[[Problem], dict[str, Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    """The same of a search, whose masks are a sweep.

    Raises:
        InvalidSpecError: the spec, or that of a run, is wrong; or with `data` files are missing.
    """
    from .. import search

    plan = search.plan(spec, overrides)
    report, warnings = _checked(plan.sweep, spec, data=data, as_json=as_json)
    return report | {"search": plan.settings.model_dump(mode="json")}, warnings


def show_sweep(spec: Path, overrides: Sequence[str], warnings: Sequence[Problem]) -> None:
    """The sweep in a few lines, the spec of its first run, and the warnings."""
    from .. import search, sweeps
    from ..estimate import estimate
    from ..summary import component_text, summary_lines

    searched = search.plan(spec, overrides) if search.is_search(spec) else None
    plan = searched.sweep if searched else sweeps.plan(spec, overrides)
    for line in told(searched) if searched else ():
        write(line)
    write(f"{plan.name}: a sweep of {len(plan.runs)} runs, executor {component_text(plan.executor)}")
    for line in _varied(plan):
        write(line)
    first = plan.runs[0]
    write(f"\nThe first of them, {first.name}:")
    for line in summary_lines(first.experiment, estimate(first.experiment)):
        write(line)
    for problem in warnings:
        tell("")
        warn(problem)
    count = len(warnings)
    with_warnings = f", with {count} warning{'s' if count > 1 else ''}" if count else ""
    write(f"\nThe spec is sound{with_warnings}.")


def _varied(plan: Plan) -> Iterator[str]:
    """Each key that varies, with its values."""
    keys = dict.fromkeys(key for run in plan.runs for key in run.settings)
    for key in keys:
        values = list(dict.fromkeys(run.settings[key] for run in plan.runs if key in run.settings))
        more = f", … {len(values)} values" if len(values) > 16 else ""
        yield f"  {key}: {', '.join(values[:16])}{more}"
