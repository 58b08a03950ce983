"""Spans of characters and words with offsets in JSON."""

from __future__ import annotations

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
        case [int(start), int(end), str(type_)] if not {type(start), type(end)} & {bool}:
            span = CharSpan(start, end, type_, path=record.path_to(step))
        case _:
            expected = f"[start, end, type] or {{{keys.start}, {keys.end}, {keys.type}}}"
            raise record.error(f"{step} is {excerpt(item)}, not {expected}")
    if not span.type:
        raise record.error(f"{step} has no type")
    return span


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
