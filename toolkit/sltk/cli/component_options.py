"""Components built from the command line: `--reader conll --option label_column=3`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ..components.registry import Component, registry
from ..components.slots import Reader, Writer
from ..errors import SpecError, UsageError
from ..files.writable import check_not_read
from ..spec.explain import problems_of
from ..spec.requirements import missing_packages
from ..spec.typed_text import with_typed_text
from ..yamltree.lookup import faults
from ..yamltree.overlay import overlay, parse_override
from ..yamltree.source import Entry, Mark, Node

C = TypeVar("C", bound=Component)


def build(
    slot: type[C],
    name: str,
    options: Sequence[str] | None = None,
    *,
    flag: str = "--option",
    type_flag: str | None = None,
    **keys: str,
) -> C:
    """Build the component `name` of a slot.

    Args:
        slot: the base class of the slot.
        name: the type of the component.
        options: its keys, as `k=v`.
        flag: the command-line option that `options` came with.
        type_flag: the command-line option that `name` came with; by default the slot's name.
        keys: keys from other arguments of the command line.

    Raises:
        UsageError: the component does not exist, or its options are wrong; problems quote the command line.
    """
    typed = f"{type_flag or f'--{slot.slot}'} {name}"
    # Values stay as typed: paths are relative to the working directory, and `-` is standard input.
    values = {"type": (typed, name)} | {key: (value, value) for key, value in keys.items()}
    tree = Node(Mark(typed, from_set=True), {key: _entry(*value) for key, value in values.items()})
    try:
        for option in options or ():
            tree = overlay(tree, parse_override(option, flag), root=True)
        tree = with_typed_text(tree, slot)
        if problems := list(faults(tree)):
            raise UsageError(problems)
        component = slot.model_validate(tree.plain())
    except ValidationError as error:
        raise UsageError(problems_of(error, tree, slot)) from error
    except SpecError as error:
        raise UsageError(error.problems) from error
    if missing := missing_packages(component, typed):
        raise UsageError(missing)
    return component


def build_reader(name: str, source: str, options: Sequence[str] | None) -> Reader:
    """Build a reader of a file or folder, or of a hub dataset if no such path exists and the reader has a `name`.

    Raises:
        UsageError: the reader is unknown, or an option is unknown, missing or invalid.
    """
    readers = registry.slot(Reader.slot)
    fields = readers[name].model_fields if name in readers else {}
    key = "name" if "name" in fields and not Path(source).exists() else "path"
    return build(Reader, name, options, **{key: source})


def check_output(writer: Writer, output: str, readers: Iterable[Reader], others: Iterable[Path] = ()) -> None:
    """Check that a writer can write to a place, and replaces nothing that is read; `-` is standard output.

    Args:
        writer: writes the output.
        output: the place.
        readers: read files that must stay.
        others: other files and folders that must stay.

    Raises:
        UsageError: the place is not writable, or a file that must stay.
    """
    path = Path(output)
    if output != "-":
        writer.check_place(path)
    outputs = [path] if output == "-" else writer.outputs(path)
    check_not_read(outputs, [*(read for reader in readers for _, read in reader.paths()), *others])


def _entry(shown: str, value: str) -> Entry:
    mark = Mark(shown, from_set=True)
    return Entry(mark, Node(mark, value))
