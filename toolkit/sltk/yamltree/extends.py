"""Read a spec as one tree: the file, the files it `extends:`, and the overrides of `--set`.

A spec that sltk stored in the folder of a run or a sweep is complete: it extends nothing, and `${NAME}` in it is text.
Otherwise, a folder from somebody else could read files and environment variables of whoever loads it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import Location, Problem, SpecError
from ..files.paths import expanded, resolved
from .lookup import child, node_text
from .overlay import overlay, parse_override
from .scalars import resolve_path
from .source import Entry, Mark, Node, parse_yaml

SpecKind = Literal["search", "sweep", "pretraining", "folds", "run"]
_KIND_KEYS: dict[str, SpecKind] = {"search": "search", "sweep": "sweep", "objective": "pretraining"}
"""The key that identifies each kind, in order of precedence."""
_SIBLINGS = {
    "spec.yaml": ("environment.json", "metrics.json", "log.jsonl"),
    "sweep.yaml": (".locks", "index.sqlite"),
}
"""The name of each stored spec, and what sltk writes next to it."""


@dataclass(frozen=True)
class Reading:
    """A spec that has been read: its tree, the errors in its form, and the names of its overrides in messages."""

    tree: Node
    problems: list[Problem] = field(default_factory=list)
    settings: tuple[str, ...] = ()


def read(path: str | Path, overrides: Sequence[str] = (), *, is_stored: bool = False) -> Reading:
    """Read a spec with everything it extends, and apply each `a.b=v` of `overrides`.

    Args:
        is_stored: the file is a stored spec, even if its folder does not look like that of a run.

    Raises:
        SpecError: a file is missing, not YAML, not a mapping, or extends itself; or a stored spec extends another.
    """
    file = expanded(path).absolute()
    reading = _read_file(str(path), file, Mark(str(path)), (), is_stored=is_stored)
    return with_overrides(reading, overrides)


def is_stored_spec(file: Path) -> bool:
    """Whether a file is the spec of a run directory, or the plan in the folder of a sweep."""
    return any((file.parent / name).exists() for name in _SIBLINGS.get(file.name, ()))


def with_overrides(reading: Reading, overrides: Sequence[str]) -> Reading:
    """Apply each `a.b=v` of `overrides`; errors in them are added to the problems."""
    tree, problems = reading.tree, list(reading.problems)
    for text in overrides:
        try:
            tree = overlay(tree, parse_override(text), root=True)
        except SpecError as error:
            problems += error.problems
    return Reading(tree, problems, tuple(f"--set {text}" for text in overrides))


def spec_kind(path: str | Path, overrides: Sequence[str] = ()) -> SpecKind:
    """The kind of a spec, including the keys it extends or `--set` adds; `run` if it cannot be read."""
    try:
        tree = read(path, overrides).tree
    except SpecError:
        return "run"
    kinds = (kind for key, kind in _KIND_KEYS.items() if child(tree, key) is not None)
    return next(kinds, "run" if open_folds(tree) is None else "folds")


def open_folds(tree: Node) -> Entry | None:
    """`data.folds`, if it does not say which fold a run tests, so that the spec stands for all of them."""
    data = child(tree, "data")
    folds = None if data is None else child(data.node, "folds")
    if folds is None or not isinstance(folds.node.value, dict):
        return None
    fold = child(folds.node, "fold")
    return folds if fold is None or fold.node.value is None else None


def _read_file(
    name: str, file: Path, requested_at: Mark, open_files: tuple[Path, ...], *, is_stored: bool = False
) -> Reading:
    """Read a file and its parents; `open_files` are the files that extend it."""
    if resolved(file) in open_files:
        chain = " → ".join(each.name for each in (*open_files, file))
        raise SpecError(requested_at.problem(f"a spec cannot extend itself: {chain}", "extends"))
    is_stored = is_stored or is_stored_spec(file)
    text = _text(name, file, requested_at)
    tree, problems = parse_yaml(text, name, file.parent, is_stored=is_stored)
    if not isinstance(tree.value, dict):
        about = f"a spec is a mapping of keys and values, found {node_text(tree)}"
        raise SpecError([*problems, Problem(about, Location(name))])
    if "extends" not in tree.value:
        return Reading(tree, problems)
    extends = tree.value.pop("extends").node
    if is_stored:
        note = "sltk stores a spec with everything it extends: somebody has added this line"
        raise SpecError(extends.mark.problem("a stored spec cannot extend another", "extends", notes=(note,)))
    parent = _read_parent(name, extends, (*open_files, resolved(file)))
    return Reading(overlay(parent.tree, tree, root=True), parent.problems + problems)


def _read_parent(name: str, extends: Node, open_files: tuple[Path, ...]) -> Reading:
    if extends.fault is not None:
        raise SpecError(extends.fault)
    if not isinstance(extends.value, str) or not extends.value:
        message = f"expected the path of another spec, found {node_text(extends)}"
        raise SpecError(extends.mark.problem(message, "extends"))
    file = resolve_path(extends.value)
    relative = os.path.normpath(os.path.join(os.path.dirname(name), extends.value))
    is_same = os.path.abspath(relative) == os.path.normpath(file)
    return _read_file(relative if is_same else str(file), file, extends.mark, open_files)


def _text(name: str, file: Path, requested_at: Mark) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        about = "does not exist" if is_missing else f"cannot be read: {error.strerror}"
        path = "extends" if requested_at.line else None
        raise SpecError(requested_at.problem(f"`{name}` {about}", path)) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(Problem("this is not UTF-8", Location(name, line))) from error
