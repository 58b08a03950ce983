"""The optional packages that the parts of a spec need, and which of them are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..components.registry import Component
from ..components.strict import StrictModel
from ..errors import Problem
from ..runtime.optional_imports import is_installed, needs_package


def missing_packages(part: Any, path: str = "") -> list[Problem]:
    """One problem for each package that a part of a spec needs and that is not installed, with the path of its key."""
    problems: dict[str, Problem] = {}
    # The shortest path first: readers have a copy of the splitter of their spec.
    for problem in sorted(_missing(part, path), key=lambda each: (each.path or "").count(".")):
        problems.setdefault(problem.message, problem)
    return list(problems.values())


def _missing(part: Any, path: str) -> Iterator[Problem]:
    """The problems of a part, after those of the parts inside it."""
    for key, value in _parts(part):
        yield from _missing(value, f"{path}.{key}" if path else str(key))
    if isinstance(part, StrictModel):
        at = ".".join(filter(None, (path, part.required_by)))
        for package, install in part.required_packages().items():
            if not is_installed(package):
                yield Problem(needs_package(_name(part, at), package, install), path=at)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, StrictModel):
        yield from value
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _name(part: StrictModel, path: str) -> str:
    if isinstance(part, Component) and part.type_name:
        return f"{part.slot} `{part.type_name}`"
    return f"`{path.rpartition('.')[2]}`"
