"""A YAML file as a checked `Experiment`, and back.

    text → tree with positions → `extends:` and `--set` laid over → `imports:` run → validated → Experiment

Everything that is wrong is told at once, each at its place; no data or model
is touched before all of it is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from ..errors import InvalidSpecError as InvalidSpecError
from ..errors import ModelError, Problem, SpecError, UsageError
from ..yamltree.extends import Reading, read
from ..yamltree.lookup import child, faults
from ..yamltree.scalars import resolve_import
from ..yamltree.source import Mark, Node, Source
from .experiment import DataSpec, Experiment
from .explain import placed, problems_of
from .imports import load_imports
from .writing import dump as dump
from .writing import dump_values

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Loaded(Generic[M]):
    """A checked spec, where each part of it is written, and the files of `imports:` that were run."""

    experiment: M
    tree: Node
    imported: tuple[Path, ...] = ()

    def problem(self, path: str, message: str, **more: Any) -> Problem:
        """A problem found later, placed at a dotted path, as in `loaded.problem("backbone.unmask", "…")`."""
        return placed(Problem(message, **more), path.split(".") if path else (), self.tree)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Inside, problems that name a path of the spec get the place where the spec says it."""
        try:
            yield
        except (SpecError, ModelError) as error:
            raise type(error)([self._placed(problem) for problem in error.problems]) from error

    def _placed(self, problem: Problem) -> Problem:
        if problem.location is not None or not problem.path:
            return problem
        return placed(problem, problem.path.split("."), self.tree)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Loaded[Experiment]:
    """Read, merge and check the spec of a run.

    `overrides` are texts `a.b=v` as after `--set`.

    Raises:
        InvalidSpecError: the spec is wrong; `problems` holds everything that is.
    """
    return load_as(Experiment, path, overrides)


def given(spec: str | Path | Mapping[str, Any] | Experiment | Loaded[Experiment]) -> Loaded[Experiment]:
    """The spec of a run in any of the forms that Python code may have it in: a file, a mapping, or checked.

    Relative paths in a mapping start from the working directory.

    Raises:
        InvalidSpecError: the spec is wrong; `problems` holds everything that is.
    """
    return given_as(Experiment, spec)


def given_as(model: type[M], spec: str | Path | Mapping[str, Any] | M | Loaded[M]) -> Loaded[M]:
    """`given` for a spec of another kind."""
    if isinstance(spec, Loaded):
        return spec
    if isinstance(spec, model):
        return Loaded(spec, Node(Mark("(spec)"), {}))
    if isinstance(spec, Mapping):
        tree, problems = Source(dump_values(spec), "(spec)", Path.cwd()).parse()
        return checked(Reading(tree, problems), model)
    assert isinstance(spec, str | Path)
    return load_as(model, spec)


def load_as(model: type[M], path: str | Path, overrides: Sequence[str] = ()) -> Loaded[M]:
    """`load` for a spec of another kind."""
    try:
        reading = read(path, overrides)
    except SpecError as error:
        raise InvalidSpecError(error.problems) from error
    return checked(reading, model)


def checked(reading: Reading, model: type[M]) -> Loaded[M]:
    """A spec that is read, as `model`; its `imports:` are run first.

    Raises:
        InvalidSpecError: the spec is wrong; `problems` holds everything that is.
    """
    try:
        imported = _run_imports(reading)
    except SpecError as error:
        raise InvalidSpecError(error.problems) from error
    return Loaded(validate(reading, model), reading.tree, imported)


def validate(reading: Reading, model: type[M]) -> M:
    """The spec as `model`.

    Raises:
        InvalidSpecError: with every problem, those of reading first.
    """
    problems = [*reading.problems, *faults(reading.tree)]
    try:
        validated = model.model_validate(reading.tree.plain())
    except ValidationError as error:
        told = {problem.location for problem in problems}
        problems += [each for each in problems_of(error, reading.tree, model) if each.location not in told]
    if problems:
        raise InvalidSpecError(_in_reading_order(problems, reading.settings))
    return validated


def _in_reading_order(problems: list[Problem], settings: Sequence[str]) -> list[Problem]:
    """File by file, in the order of their first problem, each from top to bottom; then what `--set` said."""
    named = dict.fromkeys(problem.location.file for problem in problems if problem.location)
    files = [*(name for name in named if name not in settings), *settings]

    def place(problem: Problem) -> tuple[int, int, int]:
        at = problem.location
        return (files.index(at.file), at.line or 0, at.column or 0) if at else (-1, 0, 0)

    return sorted(problems, key=place)


def load_data(mapping: Mapping[str, Any]) -> DataSpec:
    """`{"train": {"type": "conll", …}, …}` as data; relative paths start from the working directory."""
    return TypeAdapter(DataSpec).validate_python(dict(mapping))


def _run_imports(reading: Reading) -> tuple[Path, ...]:
    """Run `imports:` before validation, which needs the components they register."""
    found = child(reading.tree, "imports")
    items = found.node.value if found is not None and isinstance(found.node.value, list) else []
    imported: list[Path] = []
    problems: list[Problem] = []
    for number, node in enumerate(items):
        if not isinstance(node.value, str):
            continue
        try:
            imported += load_imports([resolve_import(node.value)])
        except UsageError as error:
            problems += [_import_problem(each, node, number) for each in error.problems]
    if problems:
        # Components of these files are missing now: whatever else validation said would mislead.
        raise SpecError([*reading.problems, *problems])
    return tuple(imported)


def _import_problem(problem: Problem, node: Node, number: int) -> Problem:
    """At the line of the file that failed where it is known, else at the item of `imports:`."""
    if problem.location is not None:
        return problem
    return node.mark.problem(problem.message, f"imports.{number}")
