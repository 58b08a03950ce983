"""Components from the command line: `--reader conll --option label_column=3`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ..components.registry import Component, registry
from ..errors import SpecError, UsageError
from ..spec.explain import problems_of
from ..yamltree.overlay import overlay, parse_override
from ..yamltree.source import Entry, Mark, Node

C = TypeVar("C", bound=Component)


def build(
    slot: type[C],
    name: str,
    options: Sequence[str] = (),
    *,
    flag: str = "--option",
    type_flag: str | None = None,
    **given: str | None,
) -> C:
    """The component of a slot with options `k=v`; `given` are keys said elsewhere on the command line.

    `type_flag` is the option that its name came with, where that is not the slot's name.

    Raises:
        UsageError: there is no such component, or options are wrong; names each by what was typed.
    """
    typed = f"{type_flag or f'--{slot.slot}'} {name}"
    values = {"type": (typed, name)}
    values |= {key: (value, value) for key, value in given.items() if value is not None}
    tree = Node(Mark(typed, from_set=True), {k: _entry(*pair) for k, pair in values.items()})
    try:
        for option in options:
            tree = overlay(tree, parse_override(option, flag), root=True)
        return slot.model_validate(tree.plain())
    except ValidationError as error:
        raise UsageError(problems_of(error, tree, slot)) from error
    except SpecError as error:
        raise UsageError(error.problems) from error


def _entry(shown: str, value: str) -> Entry:
    """A value as it was typed: paths stay relative, as a person knows them, and `-` stays `-`."""
    mark = Mark(shown, from_set=True)
    return Entry(mark, Node(mark, value))


def source_key(reader: str, source: str) -> dict[str, str]:
    """The key that names a reader's source: `path`, or `name` where it is a hub's and no such path exists."""
    from ..components.slots import Reader

    fields = _fields(Reader, reader)
    return {"name": source} if "name" in fields and not Path(source).exists() else {"path": source}


def _fields(slot: type[Component], name: str) -> Sequence[str]:
    try:
        return list(registry.find(slot.slot, name).model_fields)
    except ValueError:
        return []  # `build` says that there is no such component
