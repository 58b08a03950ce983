"""From `sweep:` to the settings of each run, each key and value with the place where it is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..specs.overlay import overlay
from ..specs.yaml_source import Entry, Mark, Node

PARTS = ("list", "zip", "grid")
"""In the order of names; the last varies fastest."""


@dataclass(frozen=True)
class Setting:
    """One key of one run, and the value that it has there."""

    key: str
    at: Mark
    """Where the key is written."""
    node: Node

    def as_tree(self) -> Node:
        """`a.b: v` as `{a: {b: v}}`, to be laid over a spec as a `--set` is: it may name an item of a list."""
        mark = replace(self.at, from_set=True)
        node = Node(replace(self.node.mark, from_set=True), self.node.value, self.node.fault)
        for part in reversed(self.key.split(".")):
            node = Node(mark, {part: Entry(mark, node)})
        return node


@dataclass(frozen=True)
class Choice:
    """The settings of a run, those that go together side by side, and its name where one is given."""

    groups: tuple[tuple[Setting, ...], ...]
    name: str | None = None

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All of them, in the order in which they are laid over the spec."""
        return tuple(itertools.chain.from_iterable(self.groups))


def choices(sweep: Node) -> Iterator[Choice]:
    """The runs that a checked `sweep:` asks for, the last key of the grid varying fastest."""
    given: dict[str, Entry] = sweep.value
    if "runs" in given and given["runs"].node.value:
        for name, entry in given["runs"].node.value.items():
            yield Choice((tuple(_settings(entry.node)),), name)
        return
    axes = [axis for part in PARTS if part in given for axis in _axes(part, given[part].node)]
    for combination in itertools.product(*axes):
        yield Choice(combination)


Axis = list[tuple[Setting, ...]]
"""What is chosen from: each choice is one setting, or several that go together."""


def _axes(part: str, node: Node) -> Iterator[Axis]:
    if not node.value:
        return
    if part == "list":
        yield [tuple(_settings(item)) for item in node.value]
        return
    columns: list[Axis] = [
        [(Setting(key, entry.key, value),) for value in _values(entry.node)]
        for key, entry in node.value.items()
    ]
    if part == "grid":
        yield from columns
    else:
        yield [tuple(itertools.chain.from_iterable(row)) for row in zip(*columns, strict=True)]


def _settings(node: Node) -> Iterator[Setting]:
    for key, entry in (node.value or {}).items():
        yield Setting(key, entry.key, entry.node)


def _values(node: Node) -> Sequence[Node]:
    if isinstance(node.value, list):
        return node.value
    digits = int(node.value["every"].node.value)
    masks = ("".join(mask) for mask in itertools.product("01", repeat=digits))
    return [Node(node.mark, mask) for mask in masks]


def laid_over(base: Node, settings: Sequence[Setting]) -> Node:
    """The spec of a run: the base, with each setting laid over it as `--set` would.

    Raises:
        SpecError: a key names an item that a list does not have.
    """
    for setting in settings:
        base = overlay(base, setting.as_tree(), root=True)
    return base
