"""Expands `sweep:` into the settings of each run. Each key and value keeps its position in the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..yamltree.overlay import overlay
from ..yamltree.source import Entry, Mark, Node

_PARTS = ("list", "zip", "grid")
"""In the order in which they appear in names; the last varies fastest."""


@dataclass(frozen=True)
class Setting:
    """One varied key of one run, and its value."""

    key: str
    position: Mark
    """The position of the key in the spec."""
    node: Node

    def as_tree(self) -> Node:
        """`a.b: v` as `{a: {b: v}}`, to be applied to a spec as with `--set`; the key may contain a list index."""
        mark = replace(self.position, from_set=True)
        node = Node(replace(self.node.mark, from_set=True), self.node.value, self.node.fault)
        for part in reversed(self.key.split(".")):
            node = Node(mark, {part: Entry(mark, node)})
        return node


Group = tuple[Setting, ...]
"""Settings that vary together."""


@dataclass(frozen=True)
class Combination:
    """The settings of one run, grouped by what varies together, and its name if the spec gives one."""

    groups: tuple[Group, ...]
    name: str | None = None

    @property
    def settings(self) -> Group:
        """All settings, in the order in which they are applied to the spec."""
        return tuple(itertools.chain.from_iterable(self.groups))


def combinations(sweep: Node) -> Iterator[Combination]:
    """The settings of each run of a validated `sweep:`, the last key of the grid varying fastest."""
    parts: dict[str, Entry] = sweep.value
    if "runs" in parts and parts["runs"].node.value:
        for name, entry in parts["runs"].node.value.items():
            yield Combination((_settings(entry.node),), name)
        return
    axes = [axis for part in _PARTS if part in parts for axis in _axes(part, parts[part].node)]
    for groups in itertools.product(*axes):
        yield Combination(groups)


def _axes(part: str, node: Node) -> Iterator[list[Group]]:
    """The axes of a part of `sweep:`; a run takes one group of settings from each axis."""
    if not node.value:
        return
    if part == "list":
        yield [_settings(item) for item in node.value]
        return
    columns: list[list[Group]] = [
        [(Setting(key, entry.key, value),) for value in _values(entry.node)]
        for key, entry in node.value.items()
    ]
    if part == "grid":
        yield from columns
    else:
        yield [tuple(itertools.chain.from_iterable(row)) for row in zip(*columns, strict=True)]


def _settings(node: Node) -> Group:
    return tuple(Setting(key, entry.key, entry.node) for key, entry in (node.value or {}).items())


def _values(node: Node) -> Sequence[Node]:
    if isinstance(node.value, list):
        return node.value
    digits = int(node.value["every"].node.value)
    return [Node(node.mark, "".join(mask)) for mask in itertools.product("01", repeat=digits)]


def apply_settings(base: Node, settings: Sequence[Setting]) -> Node:
    """The spec of a run: the base with each setting applied, as with `--set`.

    Raises:
        SpecError: a key contains a list index that is out of range.
    """
    for setting in settings:
        base = overlay(base, setting.as_tree(), root=True)
    return base
