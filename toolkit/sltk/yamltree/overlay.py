"""Merge one tree over another, as `extends:` and `--set` do, and parse `--set a.b=v`.

Mappings are merged recursively; lists and scalars are replaced; a component whose `type` changes is replaced whole.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..errors import Location, Problem, SpecError
from .source import Entry, Mark, Node, parse_yaml


def overlay(base: Node, over: Node, *, root: bool = False) -> Node:
    """`base` with the values of `over`; every value keeps the position where it is written.

    Raises:
        SpecError: a `--set` contains a list index that is out of range.
    """
    if isinstance(base.value, list) and over.mark.from_set and _has_indices(over):
        return _replace_items(base, over)
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    is_replaced = not root and _type_changes(base.value, over.value)
    entries = _entries_from_set(base.value) if is_replaced else base.value
    merged = dict(entries)
    for key, entry in over.value.items():
        if key in entries:
            node = overlay(entries[key].node, entry.node)
            # In `--set a.b=v`, `a` is only part of the path: it keeps its position in the file.
            is_on_path = entry.key.from_set and node is not entry.node
            merged[key] = Entry(entries[key].key if is_on_path else entry.key, node)
        else:
            merged[key] = entry
    return Node(base.mark if over.mark.from_set else over.mark, merged)


def _type_changes(base: dict[str, Entry], over: dict[str, Entry]) -> bool:
    return "type" in base and "type" in over and base["type"].node.value != over["type"].node.value


def _entries_from_set(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Entries that come from a `--set`; they survive a `--set head.type=…`, in either order."""
    from_set = {}
    for key, entry in entries.items():
        if entry.node.mark.from_set:
            from_set[key] = entry
        elif isinstance(entry.node.value, dict) and (inner := _entries_from_set(entry.node.value)):
            from_set[key] = Entry(entry.key, Node(entry.node.mark, inner))
    return from_set


def _has_indices(over: Node) -> bool:
    return isinstance(over.value, dict) and bool(over.value) and all(key.isdecimal() for key in over.value)


def _replace_items(base: Node, over: Node) -> Node:
    items = list(base.value)
    for key, entry in over.value.items():
        if int(key) >= len(items):
            about = f"there is no item {key}: the list has {len(items)}, counted from 0"
            raise SpecError(entry.key.problem(about))
        items[int(key)] = overlay(items[int(key)], entry.node)
    return Node(base.mark, items)


def parse_override(text: str, flag: str = "--set") -> Node:
    """Parse `a.b=v` into `{a: {b: v}}`; `v` is YAML, and paths in it start from the working directory.

    Where the key holds text, `Node.as_typed` is used instead, so an error in the YAML is only a fault of the node.
    `flag` is the option of the command line, for messages.

    Raises:
        SpecError: `text` has no `=` or no key before it.
    """
    name = f"{flag} {text}"
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        example = "trainer.epochs=3" if flag == "--set" else "limit=100"
        raise SpecError(Problem(f"expected `key=value`, for example `{flag} {example}`", Location(name)))
    mark = Mark(name, from_set=True)
    node = _typed_value(value, mark)
    for key in reversed(keys):
        node = Node(mark, {key: Entry(mark, node)})
    return node


def _typed_value(text: str, mark: Mark) -> Node:
    # `#` begins a comment in YAML, but not on a command line.
    source = json.dumps(text) if text.startswith("#") else text
    try:
        node, problems = parse_yaml(source, mark.file, Path.cwd(), from_set=True)
    except SpecError as error:
        node, problems = Node(mark, None), list(error.problems)
    return replace(node, fault=problems[0] if problems else node.fault, typed=text)
