"""One spec laid over another: what `extends:` and `--set` do.

Mappings merge deeply, lists and scalars are replaced, and a component whose `type` changes is replaced whole.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import Location, Problem, SpecError
from .source import Entry, Mark, Node, YamlText


def overlay(base: Node, over: Node, *, root: bool = False) -> Node:
    """`base` with what `over` says; the position of everything is where its value was written.

    Raises:
        SpecError: a `--set` names an item that a list does not have.
    """
    if isinstance(base.value, list) and over.mark.from_set and _is_indices(over):
        return _replace_items(base, over)
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    replaced = not root and _type_changes(base.value, over.value)
    kept = _said_by_set(base.value) if replaced else base.value
    merged = dict(kept)
    for key, entry in over.value.items():
        if key in kept:
            node = overlay(kept[key].node, entry.node)
            # `--set a.b=v` names `a` on the way only: its place stays in the file.
            on_the_way = entry.key.from_set and node is not entry.node
            merged[key] = Entry(kept[key].key if on_the_way else entry.key, node)
        else:
            merged[key] = entry
    return Node(base.mark if over.mark.from_set else over.mark, merged)


def _type_changes(base: dict[str, Entry], over: dict[str, Entry]) -> bool:
    return "type" in base and "type" in over and base["type"].node.value != over["type"].node.value


def _said_by_set(entries: dict[str, Entry]) -> dict[str, Entry]:
    """What a `--set` gave: it survives a later `--set head.type=…`, whatever the order of the two."""
    said = {}
    for key, entry in entries.items():
        if entry.node.mark.from_set:
            said[key] = entry
        elif isinstance(entry.node.value, dict) and (inner := _said_by_set(entry.node.value)):
            said[key] = Entry(entry.key, Node(entry.node.mark, inner))
    return said


def _is_indices(over: Node) -> bool:
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
    """`a.b=v` as the mapping `{a: {b: v}}`; `v` is YAML, paths in it start from the working directory.

    `flag` is the option of the command line that it came with.

    Raises:
        SpecError: there is no `=`, or no key before it, or the value is not YAML.
    """
    name = f"{flag} {text}"
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        example = "trainer.epochs=3" if flag == "--set" else "limit=100"
        raise SpecError(Problem(f"expected `key=value`, for example `{flag} {example}`", Location(name)))
    if value.startswith("#"):  # YAML would take it for a comment, and there is none on a command line
        value = json.dumps(value)
    node, problems = YamlText(value, name, Path.cwd(), from_set=True).parse()
    if problems:
        raise SpecError(problems)
    mark = Mark(name, from_set=True)
    for key in reversed(keys):
        node = Node(mark, {key: Entry(mark, node)})
    return node
