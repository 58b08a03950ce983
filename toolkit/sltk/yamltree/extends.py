"""The files a spec is made of: itself, what it `extends:`, and what `--set` lays over them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import Location, Problem, SpecError
from .lookup import child, found_text
from .overlay import overlay, parse_override
from .scalars import resolve_path
from .source import Mark, Node, YamlText

SpecKind = Literal["search", "sweep", "pretraining", "run"]
_KIND_KEYS: dict[str, SpecKind] = {"search": "search", "sweep": "sweep", "objective": "pretraining"}
"""The key that identifies each kind, in order of precedence."""


@dataclass(frozen=True)
class Reading:
    """A spec as one tree, what is wrong with its form, and the names of what `--set` laid over it."""

    tree: Node
    problems: list[Problem] = field(default_factory=list)
    settings: tuple[str, ...] = ()


def read(path: str | Path, overrides: Sequence[str] = ()) -> Reading:
    """The spec with all that it extends, and each `a.b=v` of `overrides` laid over it.

    Raises:
        SpecError: a file is missing, not YAML, not a mapping, or extends itself.
    """
    reading = _read_file(str(path), Path(path).expanduser().absolute(), Mark(str(path)), ())
    return with_overrides(reading, overrides)


def with_overrides(reading: Reading, overrides: Sequence[str]) -> Reading:
    """Lay each `a.b=v` of `overrides` over the spec; errors in them are added to its problems."""
    tree, problems = reading.tree, list(reading.problems)
    for text in overrides:
        try:
            tree = overlay(tree, parse_override(text), root=True)
        except SpecError as error:
            problems += error.problems
    return Reading(tree, problems, tuple(f"--set {text}" for text in overrides))


def spec_kind(path: str | Path, overrides: Sequence[str] = ()) -> SpecKind:
    """The kind of a spec, by its keys and those it extends or `--set` adds; `run` if it cannot be read."""
    try:
        tree = read(path, overrides).tree
    except SpecError:
        return "run"
    return next((kind for key, kind in _KIND_KEYS.items() if child(tree, key) is not None), "run")


def _read_file(name: str, file: Path, asked: Mark, opened: tuple[Path, ...]) -> Reading:
    if file.resolve() in opened:
        chain = " → ".join(each.name for each in (*opened, file))
        raise SpecError(asked.problem(f"a spec cannot extend itself: {chain}", "extends"))
    tree, problems = YamlText(_text(name, file, asked), name, file.parent).parse()
    if not isinstance(tree.value, dict):
        about = f"a spec is a mapping of keys and values, found {found_text(tree)}"
        raise SpecError([*problems, Problem(about, Location(name))])
    if "extends" not in tree.value:
        return Reading(tree, problems)
    extends = tree.value.pop("extends").node
    parent = _read_parent(name, extends, (*opened, file.resolve()))
    return Reading(overlay(parent.tree, tree, root=True), parent.problems + problems)


def _read_parent(name: str, extends: Node, opened: tuple[Path, ...]) -> Reading:
    if extends.fault is not None:
        raise SpecError(extends.fault)
    if not isinstance(extends.value, str) or not extends.value:
        message = f"expected the path of another spec, found {found_text(extends)}"
        raise SpecError(extends.mark.problem(message, "extends"))
    file = resolve_path(extends.value)
    shown = os.path.join(os.path.dirname(name), extends.value)
    same = os.path.normpath(os.path.abspath(shown)) == os.path.normpath(file)
    return _read_file(os.path.normpath(shown) if same else str(file), file, extends.mark, opened)


def _text(name: str, file: Path, asked: Mark) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        about = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise SpecError(asked.problem(f"`{name}` {about}", "extends" if asked.line else None)) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(Problem("this is not UTF-8", Location(name, line))) from error
