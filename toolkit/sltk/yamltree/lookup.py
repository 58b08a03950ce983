"""Find nodes and their positions by path: `("data", "train", "path")`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..errors import Problem
from .scalars import written_text
from .source import Entry, Mark, Node

_LONGEST_VALUE = 60
"""Characters of a value shown in messages."""


def path_text(path: Sequence[str]) -> str | None:
    """`data.train`, as in messages and in `--set`; None for the whole spec."""
    return ".".join(path) or None


def child(node: Node, part: str) -> Entry | None:
    """The entry at a key of a mapping, or at an index of a list."""
    if isinstance(node.value, dict):
        return node.value.get(part)
    if isinstance(node.value, list) and part.isdecimal() and int(part) < len(node.value):
        item: Node = node.value[int(part)]
        return Entry(item.mark, item)
    return None


def existing_path(tree: Node, loc: Sequence[Any]) -> tuple[str, ...]:
    """The parts of pydantic's `loc` that are keys of the tree; the others name members of unions."""
    path: list[str] = []
    for part in map(str, loc):
        if (entry := child(tree, part)) is not None:
            path.append(part)
            tree = entry.node
    return tuple(path)


def entry_at(tree: Node, path: Sequence[str]) -> Entry:
    """The entry at a path, or the last one on the way that exists; the file itself for the empty path."""
    entry = Entry(Mark(tree.mark.file), tree)
    for part in path:
        inner = child(entry.node, part)
        if inner is None:
            break
        entry = inner
    return entry


def mark_at(tree: Node, path: Sequence[str], *, key: bool = False) -> Mark:
    """The position to show for a path: the value if it is a scalar, else its key; with `key`, always the key."""
    entry = entry_at(tree, path)
    return entry.key if key or isinstance(entry.node.value, dict | list) else entry.node.mark


def node_text(node: Node) -> str:
    """A short description of a node's value, for `expected …, found …`."""
    if isinstance(node.value, dict):
        return "a mapping" if node.value else "an empty mapping"
    if isinstance(node.value, list):
        return f"a list of {len(node.value)}"
    if node.value is None:
        return "nothing"
    text = written_text(node.value)
    text = str(text).lower() if isinstance(text, bool) else " ".join(str(text).split())
    return f"`{text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + '…'}`"


def faults(tree: Node, path: tuple[str, ...] = ()) -> Iterator[Problem]:
    """The errors in scalars of the tree, each with its path."""
    if tree.fault is not None:
        yield replace(tree.fault, path=path_text(path))
    if isinstance(tree.value, dict):
        for key, entry in tree.value.items():
            yield from faults(entry.node, (*path, key))
    elif isinstance(tree.value, list):
        for number, node in enumerate(tree.value):
            yield from faults(node, (*path, str(number)))
