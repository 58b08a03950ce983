"""Values of the command line for keys that hold text: they are taken as typed, not parsed as YAML.

So `--option separator=,` and `--set name=1e3` need no quotes inside the quotes of the shell.
"""

from __future__ import annotations

import typing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ..yamltree.source import Entry, Node, core_scalar
from .options import alternatives, annotation_of

_NONE = type(None)


def with_typed_text(tree: Node, model: type[BaseModel]) -> Node:
    """The tree of a spec, or of a component, in which each `--set` of a key that holds text is that text.

    Keys that may also hold something else, such as a list, hold text only if it is not YAML.
    An empty value and `null` stay nothing where a key may be unset.
    """
    return _converted(tree, model)


def _converted(node: Node, annotation: Any) -> Node:
    if node.typed is not None and _is_text(node, alternatives(annotation)):
        return node.as_typed()
    if isinstance(node.value, dict):
        entries = {
            key: Entry(entry.key, _converted(entry.node, annotation_of(annotation, node, key)))
            for key, entry in node.value.items()
        }
        return replace(node, value=entries)
    if isinstance(node.value, list):
        return replace(node, value=[_converted(item, annotation) for item in node.value])
    return node


def _is_text(node: Node, kinds: list[Any]) -> bool:
    others = [kind for kind in kinds if not _holds_text(kind)]
    if len(others) == len(kinds):
        return False
    if _NONE in others and core_scalar(node.typed or "") is None:
        return False
    return node.fault is not None or others in ([], [_NONE])


def _holds_text(kind: Any) -> bool:
    """Whether a type holds text only: `str`, a path, or words to choose from."""
    words = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    return kind in (str, Path) or (bool(words) and all(isinstance(word, str) for word in words))
