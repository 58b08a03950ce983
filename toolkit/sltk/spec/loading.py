"""Load specs: read YAML, apply `extends:` and `--set`, run `imports:`, validate.

All errors are reported together, each with its position, before any data or model is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import DataError, InvalidSpecError, ModelError, Problem, SpecError, UsageError
from ..yamltree.extends import Reading, read, with_overrides
from ..yamltree.lookup import child, entry_at, faults
from ..yamltree.scalars import resolve_import, source_text, written_text
from ..yamltree.source import Mark, Node, parse_yaml
from .data_settings import DataSpec
from .experiment import Experiment
from .explain import problems_of, with_position
from .imports import ImportedCode, ImportPolicy, find_code, find_stored_code
from .typed_text import with_typed_text
from .writing import dump as dump
from .writing import dump_values

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Loaded(Generic[M]):
    """A valid spec, the tree it was validated from, and the files and modules its `imports:` loaded."""

    spec: M
    tree: Node
    imported: tuple[Path, ...] = ()

    def problem(self, path: str, message: str, **more: Any) -> Problem:
        """A problem found later, with the position of a dotted path: `loaded.problem("backbone.unmask", "…")`."""
        return self.located(Problem(message, path=path, **more))

    @contextmanager
    def locate_errors(self) -> Iterator[None]:
        """Add positions to errors raised inside whose problems name a path of the spec."""
        try:
            yield
        except (SpecError, DataError, ModelError) as error:
            raise type(error)([self.located(problem) for problem in error.problems]) from error

    def located(self, problem: Problem) -> Problem:
        """The problem with the position of its path, unless it has a position already."""
        if problem.location is not None or problem.path is None:
            return problem
        at = with_position(problem, problem.path.split(".") if problem.path else (), self.tree)
        return _without_environment(at, self.tree)


def load(
    spec: str | Path | Mapping[str, Any] | Experiment | Loaded[Experiment],
    overrides: Sequence[str] = (),
    policy: ImportPolicy | None = None,
) -> Loaded[Experiment]:
    """Load the spec of a run from a file or a mapping; a spec that is already valid is returned unchanged.

    `overrides` are texts `a.b=v` as after `--set`; they apply to files and mappings.
    Relative paths in a mapping start from the working directory. `policy` decides which `imports:` may run.

    Raises:
        InvalidSpecError: the spec is invalid; `problems` holds all errors.
    """
    return load_as(Experiment, spec, overrides, policy)


def load_stored(file: Path, policy: ImportPolicy) -> Loaded[Experiment]:
    """Load the spec in a run directory: nothing in it is read from the environment or from other specs.

    Raises:
        InvalidSpecError: the spec is invalid, or has `imports:` that may not run.
    """
    return validate(read_spec(file, is_stored=True), Experiment, policy)


def load_as(
    model: type[M],
    spec: str | Path | Mapping[str, Any] | M | Loaded[M],
    overrides: Sequence[str] = (),
    policy: ImportPolicy | None = None,
) -> Loaded[M]:
    """`load` for a spec of another kind."""
    if isinstance(spec, Loaded):
        return spec
    if isinstance(spec, model):
        return Loaded(spec, Node(Mark("(spec)"), {}))
    assert isinstance(spec, str | Path | Mapping)
    return validate(read_spec(spec, overrides), model, policy)


def read_spec(
    spec: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    is_stored: bool = False,
) -> Reading:
    """Read a spec without validating it: a file with everything it extends, or a mapping.

    A file `is_stored` if it is one that sltk wrote, even if its folder does not look like that of a run.

    Raises:
        InvalidSpecError: the spec, or one that it extends, cannot be read.
    """
    try:
        if isinstance(spec, Mapping):
            tree, problems = parse_yaml(dump_values(spec), "(spec)", Path.cwd())
            return with_overrides(Reading(tree, problems), overrides)
        return read(spec, overrides, is_stored=is_stored)
    except SpecError as error:
        raise InvalidSpecError(error.problems) from error


def validate(reading: Reading, model: type[M], policy: ImportPolicy | None = None) -> Loaded[M]:
    """Run the `imports:` of a spec that has been read, then validate it as `model`.

    Raises:
        InvalidSpecError: the spec is invalid; `problems` holds all errors, file by file from top to bottom.
    """
    imported = _run_imports(reading, policy or ImportPolicy())
    tree = with_typed_text(reading.tree, model) if reading.settings else reading.tree
    problems = [*reading.problems, *faults(_own_part(tree, model))]
    try:
        spec = model.model_validate(tree.plain())
    except ValidationError as error:
        reported = {problem.location for problem in problems}
        problems += [each for each in problems_of(error, tree, model) if each.location not in reported]
    if problems:
        problems = [_without_environment(problem, tree) for problem in problems]
        raise InvalidSpecError(_in_reading_order(problems, reading.settings))
    return Loaded(spec, tree, imported)


def _own_part(tree: Node, model: type[BaseModel]) -> Node:
    """The tree without the keys that a model leaves to others, which validate them later."""
    if model.model_config.get("extra") != "allow" or not isinstance(tree.value, dict):
        return tree
    return Node(tree.mark, {key: entry for key, entry in tree.value.items() if key in model.model_fields})


def _without_environment(problem: Problem, tree: Node) -> Problem:
    """The problem with `${NAME}` in place of what the environment gave for it, which may be a secret."""
    value = entry_at(tree, (problem.path or "").split(".")).node.value
    if isinstance(value, dict | list):
        return problem
    text, written = str(source_text(value)), str(written_text(value))
    if text == written or not text:
        return problem
    message, *notes = (each.replace(text, written) for each in (problem.message, *problem.notes))
    return replace(problem, message=message, notes=tuple(notes))


def _in_reading_order(problems: list[Problem], settings: Sequence[str]) -> list[Problem]:
    """Files in the order of their first problem, each from top to bottom; overrides come last."""
    names = dict.fromkeys(problem.location.file for problem in problems if problem.location)
    last = set(settings)
    files = {name: at for at, name in enumerate([*(each for each in names if each not in last), *settings])}

    def position(problem: Problem) -> tuple[int, int, int]:
        at = problem.location
        return (files[at.file], at.line or 0, at.column or 0) if at else (-1, 0, 0)

    return sorted(problems, key=position)


def load_data(mapping: Mapping[str, Any]) -> DataSpec:
    """Validate `{"train": {"type": "conll", …}, …}` as data; relative paths start from the working directory."""
    return DataSpec.model_validate(dict(mapping))


def _run_imports(reading: Reading, policy: ImportPolicy) -> tuple[Path, ...]:
    """Run `imports:` before validation, which needs the components they register. All are checked before one runs."""
    entry = child(reading.tree, "imports")
    items = entry.node.value if entry is not None and isinstance(entry.node.value, list) else []
    problems: list[Problem] = []
    found: list[tuple[int, Node, ImportedCode]] = []
    for number, node in enumerate(items):
        with _collected(problems, number, node):
            if isinstance(node.value, str):
                found.append((number, node, _find(node, policy)))
    for number, node, code in () if problems else found:
        with _collected(problems, number, node):
            code.run(policy)
    if problems:
        # Components of these files are missing, so errors of validation would mislead.
        raise InvalidSpecError([*reading.problems, *problems])
    return tuple(code.item for _, _, code in found)


def _find(node: Node, policy: ImportPolicy) -> ImportedCode:
    if node.mark.is_stored:
        return find_stored_code(str(node.value), node.value.base, policy)
    return find_code(resolve_import(node.value))


@contextmanager
def _collected(problems: list[Problem], number: int, node: Node) -> Iterator[None]:
    """Add errors raised inside to `problems`, at the failing line of the file, or else at the item of `imports:`."""
    try:
        yield
    except UsageError as error:
        problems += [
            each if each.location else node.mark.problem(each.message, f"imports.{number}", notes=each.notes)
            for each in error.problems
        ]
