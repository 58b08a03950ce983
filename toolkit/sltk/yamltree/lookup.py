"""Places in a spec: from a path such as `("data", "train", "path")` to where it is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..errors import Problem
from .scalars import source_text
from .source import Entry, Mark, Node

Path_ = tuple[str, ...]


def dotted(path: Sequence[str]) -> str | None:
    """`data.train`, as in messages and in `--set`; None for the whole spec."""
    return ".".join(path) or None


def existing(tree: Node, loc: Sequence[Any]) -> Path_:
    """The parts of `loc` that lead through the tree: pydantic puts names of union members between."""
    path: list[str] = []
    node = tree
    for part in loc:
        found = child(node, str(part))
        if found is not None:
            path.append(str(part))
            node = found.node
    return tuple(path)


def child(node: Node, part: str) -> Entry | None:
    """What stands at a key of a mapping, or at a number of a list."""
    if isinstance(node.value, dict):
        return node.value.get(part)
    if isinstance(node.value, list) and part.isdecimal() and int(part) < len(node.value):
        item: Node = node.value[int(part)]
        return Entry(item.mark, item)
    return None


def node_at(tree: Node, path: Sequence[str]) -> Node:
    """The node at a path, or the last one on the way that exists."""
    node = tree
    for found in _entries(tree, path):
        node = found.node
    return node


def mark_at(tree: Node, path: Sequence[str], *, key: bool = False) -> Mark:
    """Where to point for a path: at a scalar, or at the key of a mapping or list (with `key`: always)."""
    mark = Mark(tree.mark.file)
    for found in _entries(tree, path):
        mark = found.key if key or isinstance(found.node.value, dict | list) else found.node.mark
    return mark


def _entries(tree: Node, path: Sequence[str]) -> Iterator[Entry]:
    """The entries on the way of a path, as far as they exist."""
    node = tree
    for part in path:
        found = child(node, part)
        if found is None:
            return
        yield found
        node = found.node


_MOST_SHOWN = 60
"""Characters of a value."""


def found_text(node: Node) -> str:
    """What stands there, for `expected …, found …`."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return f"a list of {len(node.value)}"
    if node.value is None:
        return "nothing"
    text = source_text(node.value)
    text = str(text).lower() if isinstance(text, bool) else " ".join(str(text).split())
    return f"`{text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + '…'}`"


def faults(tree: Node, path: Path_ = ()) -> Iterator[Problem]:
    """What is wrong with scalars of the tree, each with its path."""
    if tree.fault is not None:
        yield replace(tree.fault, path=dotted(path))
    if isinstance(tree.value, dict):
        for key, entry in tree.value.items():
            yield from faults(entry.node, (*path, key))
    elif isinstance(tree.value, list):
        for number, node in enumerate(tree.value):
            yield from faults(node, (*path, str(number)))
