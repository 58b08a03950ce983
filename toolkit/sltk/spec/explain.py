"""Turn pydantic's validation errors into problems with positions in the spec, in the user's terms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..components.registry import RefusedError
from ..errors import Problem, nearest
from ..yamltree.lookup import entry_at, existing_path, mark_at, node_text, path_text
from ..yamltree.source import Node
from .options import allowed_note, keys_with, model_at, owner_text

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
    "too_short_dict": "a mapping of at least {min_length}",
    "tuple": "a list",
}


@dataclass(frozen=True)
class _Fault:
    """One of pydantic's errors at a path: a complete problem, or what was expected there."""

    path: tuple[str, ...]
    problem: Problem | None = None
    expected: str = ""
    choices: tuple[str, ...] = ()


def problems_of(error: ValidationError, tree: Node, model: type[BaseModel]) -> list[Problem]:
    """Every problem of the error. If a field allows several types, their mismatches are one problem."""
    faults = list(dict.fromkeys(_flatten(error, _Owners(tree, model))))
    at_path: dict[tuple[str, ...], list[_Fault]] = {}
    for fault in faults:
        at_path.setdefault(fault.path, []).append(fault)
    outer = {fault.path[:length] for fault in faults for length in range(len(fault.path))}
    problems: dict[tuple[Any, ...], Problem] = {}
    for fault in faults:
        same_path = at_path[fault.path]
        if fault.problem is not None:
            problems.setdefault((fault.path, fault.problem), fault.problem)
        # A deeper fault comes from the intended member of a union, so that this one is about another member.
        elif (
            fault is same_path[0] and fault.path not in outer and not any(each.problem for each in same_path)
        ):
            problems[fault.path,] = _mismatch(same_path, tree)
    return list(problems.values())


class _Owners:
    """The models that validate the mappings of a tree. Each is looked up once, since it may have many faults."""

    def __init__(self, tree: Node, model: type[BaseModel]) -> None:
        self.tree, self._model = tree, model
        self._known: dict[tuple[str, ...], tuple[type[BaseModel] | None, str]] = {}

    def at(self, path: tuple[str, ...]) -> tuple[type[BaseModel] | None, str]:
        """The model at a path, or None, and the note on its keys."""
        if path not in self._known:
            model = model_at(self._model, self.tree, path)
            self._known[path] = model, allowed_note(model) if model is not None else ""
        return self._known[path]


def _flatten(error: ValidationError, owners: _Owners, prefix: tuple[Any, ...] = ()) -> Iterator[_Fault]:
    tree = owners.tree
    items = error.errors(include_url=False)
    lengths = {item["loc"][:-1]: item["loc"][-1] for item in items if _is_missing_item(item)}
    for item in items:
        if item["type"] == "default_factory_not_called":
            continue  # the default depends on another key, whose error is reported
        if _is_missing_item(item) and lengths[item["loc"][:-1]] != item["loc"][-1]:
            continue  # the last missing item of a list says how long it must be
        loc = (*prefix, *item["loc"])
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from _flatten(cause, owners, loc)
        elif isinstance(cause, RefusedError):
            key = cause.problem.path
            path = (*existing_path(tree, loc), *(key.split(".") if key else ()))
            yield _Fault(path, with_position(cause.problem, path, tree))
        elif item["type"] in ("extra_forbidden", "missing") and not _is_missing_item(item):
            yield _key_fault(item["type"] == "missing", loc, owners)
        else:
            yield _value_fault(item, existing_path(tree, loc), tree)


def _is_missing_item(item: ErrorDetails) -> bool:
    """Whether a list of fixed length is too short."""
    return item["type"] == "missing" and isinstance(item["loc"][-1], int)


def with_position(problem: Problem, path: Sequence[str], tree: Node) -> Problem:
    """The problem with the position of `path` in the tree."""
    mark = mark_at(tree, path, key=problem.at_key)
    return mark.problem(problem.message, path_text(path), suggestion=problem.suggestion, notes=problem.notes)


def _key_fault(is_missing: bool, loc: tuple[Any, ...], owners: _Owners) -> _Fault:
    """A key that is missing or unknown."""
    tree = owners.tree
    owner, key = existing_path(tree, loc[:-1]), str(loc[-1])
    path = (*owner, key)
    at, allowed = owners.at(owner)
    fields = at.model_fields if at is not None else {}
    notes, suggestion = [], None
    if is_missing:
        if key in fields and fields[key].description:
            notes.append(f"{key}: {fields[key].description}")
    elif at is not None:
        notes = [f"`{key}` is a key of `{name}`" for name in keys_with(at, key)]
        notes.append(allowed)
        suggestion = nearest(key, fields)
    mark = mark_at(tree, owner if is_missing else path, key=True)
    message = f"{'missing' if is_missing else 'unknown'} key `{key}`{owner_text(at, owner)}"
    return _Fault(path, mark.problem(message, path_text(owner), suggestion=suggestion, notes=tuple(notes)))


def _value_fault(item: ErrorDetails, path: tuple[str, ...], tree: Node) -> _Fault:
    kind, context = item["type"], item.get("ctx", {})
    if _is_missing_item(item):
        return _Fault(path, expected=f"a list of {int(item['loc'][-1]) + 1}")
    if kind == "too_short" and context.get("field_type") == "Dictionary":
        kind = "too_short_dict"
    if kind == "literal_error":
        choices = tuple(re.findall(r"'([^']*)'", context["expected"])) or (context["expected"],)
        return _Fault(path, expected=_one_of(choices), choices=choices)
    phrase = _EXPECTED.get(kind) or _EXPECTED.get(kind.split("_")[0])
    if phrase is not None:
        limits = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
        return _Fault(path, expected=phrase.format(**limits))
    message = str(context["error"]) if "error" in context else item["msg"][:1].lower() + item["msg"][1:]
    return _Fault(path, with_position(Problem(message), path, tree))


def _one_of(choices: Sequence[str]) -> str:
    quoted = [f"`{choice}`" for choice in choices]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _mismatch(faults: Sequence[_Fault], tree: Node) -> Problem:
    """One problem for all that was expected at a path."""
    path = faults[0].path
    node = entry_at(tree, path).node
    phrases = dict.fromkeys(fault.expected for fault in faults)
    if "a number" in phrases:
        phrases.pop("a whole number", None)
    expected = " or ".join(phrases)
    choices = [choice for fault in faults for choice in fault.choices]
    is_unquoted_number = expected == "text" and isinstance(node.value, int | float)
    return mark_at(tree, path).problem(
        f"expected {expected}, found {node_text(node)}",
        path_text(path),
        suggestion=nearest(str(node.value), choices),
        notes=("write it in quotes to make it text",) if is_unquoted_number else (),
    )
