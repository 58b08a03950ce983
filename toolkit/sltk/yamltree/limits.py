"""Limits of a YAML document: its size with all aliases expanded, and its depth.

A kilobyte of nested aliases expands to gigabytes, and the parser written in C crashes on deep nesting.
"""

from __future__ import annotations

from typing import Any

import yaml

MOST_NODES = 100_000
MOST_LEVELS = 100


class LimitError(yaml.YAMLError):
    """A document exceeds a limit."""


def check_limits(text: str, loader: Any, most: int = MOST_NODES) -> None:
    """Check the events of a YAML text, before it is loaded.

    Raises:
        LimitError: there are more than `most` values, or too many levels, or an alias contains itself.
        yaml.YAMLError: the text is not YAML.
    """
    sizes = [0]
    """Number of values so far in each open collection, and in the document."""
    anchors: dict[str | None, int] = {}
    open_anchors: list[str | None] = []
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in open_anchors:
                raise LimitError("an alias contains itself")
            sizes[-1] += anchors.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            if event.anchor is not None:
                anchors[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            open_anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), open_anchors.pop()
            sizes[-1] += size
            if anchor is not None:
                anchors[anchor] = size
        if len(sizes) > MOST_LEVELS:
            raise LimitError("nested too deeply")
        if sizes[-1] > most:
            raise LimitError(too_many(most))


def too_many(most: int) -> str:
    """The message that a document has too many values."""
    return f"more than {most:,} keys and values, with aliases expanded"
