"""pydantic's validation errors as problems in the user's words, each at its place in the spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..components.registry import RefusedError
from ..errors import Problem, nearest
from ..yamltree.lookup import dotted, existing, found_text, mark_at, node_at
from ..yamltree.source import Node
from .options import allowed_note, components_owning, described, model_at

_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping of keys and values",
    "float": "a number",
    "finite": "a finite number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "int": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "list": "a list",
    "model": "a mapping of keys and values",
    "none": "nothing",
    "path": "a path",
    "string": "text",
    "string_too_short": "text that is not empty",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
    "tuple": "a list",
}


@dataclass(frozen=True)
class _Fault:
    """One error of pydantic, placed: either a problem of its own, or what was expected instead."""

    path: tuple[str, ...]
    problem: Problem | None = None
    expected: str = ""
    choices: tuple[str, ...] = ()


def problems_of(error: ValidationError, tree: Node, model: type[BaseModel]) -> list[Problem]:
    """Every problem of the error; one alone for a place where a field allows several types."""
    faults = list(dict.fromkeys(_flatten(error, tree, model)))
    problems: dict[tuple[Any, ...], Problem] = {}
    for fault in faults:
        if fault.problem is not None:
            problems.setdefault((fault.path, fault.problem), fault.problem)
        elif not any(_is_deeper(other, fault) for other in faults):
            alike = [other for other in faults if other.path == fault.path and other.problem is None]
            problems.setdefault((fault.path,), _mismatch(alike, tree))
    return list(problems.values())


def _is_deeper(other: _Fault, fault: _Fault) -> bool:
    """Whether `other` speaks of the right member of a union, so that `fault` is about a wrong one."""
    return other.path[: len(fault.path)] == fault.path and (
        len(other.path) > len(fault.path) or other.problem is not None
    )


def _flatten(
    error: ValidationError, tree: Node, model: type[BaseModel], prefix: tuple[Any, ...] = ()
) -> Iterator[_Fault]:
    for item in error.errors(include_url=False):
        if item["type"] == "default_factory_not_called":
            continue  # a default that depends on another key, which is itself at fault and told
        loc = (*prefix, *item["loc"])
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from _flatten(cause, tree, model, loc)
        elif isinstance(cause, RefusedError):
            yield _refused(cause.problem, loc, tree)
        else:
            yield _fault(item, loc, tree, model)


def _refused(problem: Problem, loc: tuple[Any, ...], tree: Node) -> _Fault:
    """A validator's own problem, with its path counted from the root and its place filled in."""
    path = existing(tree, loc) + tuple((problem.path or "").split(".") if problem.path else ())
    return _Fault(path, placed(problem, path, tree))


def placed(problem: Problem, path: Sequence[str], tree: Node) -> Problem:
    """The problem with the place that `path` has in the tree."""
    at = mark_at(tree, path).problem(problem.message, dotted(path))
    return replace(at, suggestion=problem.suggestion, notes=problem.notes)


def _fault(item: ErrorDetails, loc: tuple[Any, ...], tree: Node, model: type[BaseModel]) -> _Fault:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "missing" and isinstance(loc[-1], str):
        return _missing(loc, tree, model)
    if kind == "extra_forbidden":
        return _unknown_key(loc, tree, model)
    path = existing(tree, loc)
    if kind == "missing":
        return _Fault(path, expected="a longer list")
    if kind == "literal_error":
        choices = tuple(re.findall(r"'([^']*)'", context["expected"])) or (context["expected"],)
        return _Fault(path, expected=_one_of(choices), choices=choices)
    phrase = _EXPECTED.get(kind) or _EXPECTED.get(kind.split("_")[0])
    if phrase is not None and kind != "value_error":
        limits = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
        return _Fault(path, expected=phrase.format(**limits))
    message = str(context["error"]) if "error" in context else item["msg"][:1].lower() + item["msg"][1:]
    return _Fault(path, placed(Problem(message), path, tree))


def _one_of(choices: Sequence[str]) -> str:
    quoted = [f"`{choice}`" for choice in choices]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _mismatch(faults: Sequence[_Fault], tree: Node) -> Problem:
    path, node = faults[0].path, node_at(tree, faults[0].path)
    phrases = dict.fromkeys(fault.expected for fault in faults)
    if "a number" in phrases:
        phrases.pop("a whole number", None)
    expected = " or ".join(phrases)
    choices = [choice for fault in faults for choice in fault.choices]
    notes = ("write it in quotes to make it text",) if expected == "text" and _is_number(node) else ()
    return mark_at(tree, path).problem(
        f"expected {expected}, found {found_text(node)}",
        dotted(path),
        suggestion=nearest(str(node.value), choices),
        notes=notes,
    )


def _is_number(node: Node) -> bool:
    return isinstance(node.value, int | float)


def _missing(loc: tuple[Any, ...], tree: Node, model: type[BaseModel]) -> _Fault:
    owner = existing(tree, loc[:-1])
    at = model_at(model, tree, owner)
    key = str(loc[-1])
    problem = mark_at(tree, owner, key=True).problem(
        f"missing key `{key}`{described(at, owner)}", dotted(owner), notes=_meaning(at, key)
    )
    return _Fault((*owner, key), problem)


def _meaning(model: type[BaseModel] | None, key: str) -> tuple[str, ...]:
    field = model.model_fields.get(key) if model else None
    return (f"{key}: {field.description}",) if field is not None and field.description else ()


def _unknown_key(loc: tuple[Any, ...], tree: Node, model: type[BaseModel]) -> _Fault:
    path = existing(tree, loc)
    owner, key = path[:-1], str(loc[-1])
    at = model_at(model, tree, owner)
    notes = []
    if at is not None:
        notes += [f"`{key}` is a key of `{name}`" for name in components_owning(at, key)]
        notes.append(allowed_note(at))
    problem = mark_at(tree, path, key=True).problem(
        f"unknown key `{key}`{described(at, owner)}",
        dotted(owner),
        suggestion=nearest(key, at.model_fields) if at is not None else None,
        notes=tuple(notes),
    )
    return _Fault(path, problem)
