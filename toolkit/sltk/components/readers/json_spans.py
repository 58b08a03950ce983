"""Spans of characters and words with offsets in JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from .json_records import JsonRecord
from .json_text import excerpt
from .offset_units import CharSpan


class SpanKeys(NamedTuple):
    """The keys of a span that is written as an object."""

    start: str
    end: str
    type: str
    text: str | None = "text"
    """The text of the span, which may be missing; None: it is not read."""
    fragments: str | None = None
    """The parts of a discontinuous span, `[[start, end], …]`; None: it is not read."""


def char_span(item: Any, record: JsonRecord, step: str, keys: SpanKeys) -> CharSpan:
    """The span at `step` of the record: an object with these keys, or `[start, end, type]`.

    Raises:
        DataError: it is neither, or has no type.
    """
    match item:
        case dict():
            inner = record.inner(item, step)
            text = inner.string(keys.text) if keys.text is not None and keys.text in inner else None
            start, end = inner.integer(keys.start), inner.integer(keys.end)
            span = CharSpan(start, end, inner.string(keys.type), text=text, path=inner.path)
            if keys.fragments is not None and keys.fragments in inner:
                (first, *more) = _fragments(inner, keys.fragments, (start, end))
                span = replace(span, start=first[0], end=first[1], more=tuple(more))
        case [int(start), int(end), str(type_)] if not {type(start), type(end)} & {bool}:
            span = CharSpan(start, end, type_, path=record.path_to(step))
        case _:
            expected = f"[start, end, type] or {{{keys.start}, {keys.end}, {keys.type}}}"
            raise record.error(f"{step} is {excerpt(item)}, not {expected}")
    if not span.type:
        raise record.error(f"{step} has no type")
    return span


def _fragments(span: JsonRecord, key: str, hull: tuple[int, int]) -> list[tuple[int, int]]:
    """The parts of a discontinuous span.

    Raises:
        DataError: they are not pairs of whole numbers, or do not reach from the start to the end of the span.
    """
    items = span.get(key, list, "a list of [start, end]")
    parts = [
        (item[0], item[1]) for item in items if isinstance(item, list) and [*map(type, item)] == [int, int]
    ]
    if not parts or len(parts) != len(items):
        raise span.error(f"`{key}` is {excerpt(items)}, not [[start, end], …]")
    if (min(start for start, _ in parts), max(end for _, end in parts)) != hull:
        raise span.error(f"`{key}` is {excerpt(items)}, but the span is at [{hull[0]}, {hull[1]})")
    return parts


def word_offsets(words: list[JsonRecord], text: str) -> list[tuple[int, int]]:
    """The offsets of words that are objects with `start` and `end`.

    Raises:
        DataError: a word is empty, overlaps the one before, is outside the text, or is not the text that it repeats.
    """
    offsets, end_before = [], 0
    for word in words:
        start, end = word.integer("start"), word.integer("end")
        if not end_before <= start < end <= len(text):
            raise word.error(
                f"the word at [{start}, {end}) overlaps another, is empty or is outside the text"
            )
        if "text" in word and word.string("text") != text[start:end]:
            raise word.error(
                f"the text at [{start}, {end}) is `{text[start:end]}`, not {excerpt(word.value['text'])}"
            )
        offsets.append((start, end))
        end_before = end
    return offsets
