"""Annotation under keys that a reader of JSON does not know: an error, rather than text without annotation."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from .json_records import JsonReader, JsonRecord

_USUAL_KEYS = frozenset(
    {"annotation", "annotations", "aspect_terms", "aspects", "chunks", "completions", "entities", "entity"}
    | {"entity_mentions", "ents", "event_mentions", "events", "label", "labels", "mentions", "named_entities"}
    | {"ner", "ner_tags", "opinions", "pos_tags", "sequence_labels", "spans", "tags", "triggers"}
)
_PLACE = re.compile("start|begin|offset|points", re.IGNORECASE)
_TYPE = re.compile("label|type|tag|categor|class|entity|polarity|mention", re.IGNORECASE)
_TAG = re.compile("O|[BIESLUM][-_].+")
_MOST_ITEMS, _MOST_LEVELS, _MOST_FIELDS = 100, 5, 8


def check_unread(reader: JsonReader, record: JsonRecord, other: Collection[str], advice: str = "") -> None:
    """Check that an object without annotation has none under a key other than the reader's `annotation_keys`.

    `other` are keys of something else. `advice` says how to read `{key}`, the key that looks like annotation. A reader
    with `unannotated: outside` or `skip` takes such objects as they are.

    Raises:
        DataError: a key looks like annotation; the message names all keys.
    """
    if getattr(reader, "unannotated", None) in ("outside", "skip"):
        return
    expected = reader.annotation_keys()
    unread = {key: value for key, value in record.value.items() if key not in {*expected, *other}}
    key = next(_annotation_keys(unread, expected), None)
    if key is None:
        return
    keys = " or ".join(f"`{each}`" for each in expected)
    raise record.error(
        f"no {keys} in this object, but `{key}` looks like annotation; its keys: {', '.join(record.value)}",
        *([advice.format(key=key)] if advice else []),
        "`unannotated: outside` or `skip` reads objects that are not annotated",
    )


def _annotation_keys(unread: dict[str, Any], expected: Sequence[str]) -> Iterator[str]:
    """The keys that look like annotation, those with spans or tags first."""
    lists = {key: value for key, value in unread.items() if isinstance(value, list | dict)}
    yield from (key for key, value in lists.items() if holds_spans(value) or _holds_tags(value))
    yield from (key for key in lists if key.lower() in _USUAL_KEYS or _is_close(key, expected))


def _is_close(key: str, expected: Sequence[str]) -> bool:
    return bool(difflib.get_close_matches(key.lower(), expected, n=1, cutoff=0.8))


def holds_spans(value: Any, level: int = 0) -> bool:
    """Whether a value of JSON holds spans: lists of two numbers and a name, or objects with a place and a type."""
    if level > _MOST_LEVELS:
        return False
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return _is_span(value) or any(holds_spans(item, level + 1) for item in items[:_MOST_ITEMS])


def _is_span(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_PLACE.search, value)) and any(map(_TYPE.search, value))
    if not isinstance(value, list) or len(value) > _MOST_FIELDS:
        return False
    numbers = [item for item in value if isinstance(item, int) and not isinstance(item, bool)]
    return len(numbers) >= 2 and any(isinstance(item, str) for item in value)


def _holds_tags(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, str) and _TAG.fullmatch(item) for item in value)
    )
