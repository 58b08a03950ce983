"""doccano: texts with annotated characters, as its JSONL export has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from ...types import Sentence
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord, shown
from .offsets import CharSpan, OffsetReader, annotated

_FIELDS = ("label", "labels", "entities")


@register.reader("doccano")
class DoccanoReader(OffsetReader, TextFileReader):
    """doccano's JSONL export: an object a line with `text` and its spans in `label`, `labels` or `entities`.

    A span is `[start, end, type]` or `{start_offset, end_offset, label}`. Relations are not read. An object is
    one sentence and one document; without any of the three keys it is not annotated.
    """

    text_field: str = Field(default="text", description="key of the text; some versions write `data`")
    label_field: str | None = Field(
        default=None, description="key of the spans; unset: whichever is there of label, labels, entities"
    )

    def read(self) -> Iterator[Sentence]:
        """Yield a sentence an object.

        Raises:
            DataError: a line is no such object, or a span is outside its text.
        """
        for record in json_records.lines(self.path, self.encoding, self.encoding_errors):
            text, key = record.string(self.text_field), self._key(record)
            sentence = annotated(
                text,
                [] if key is None else list(_spans(record, key)),
                self.splitter.split(text),
                self.misaligned,
                file=record.file,
                line=record.line,
                unused=record.unused,
                document=str(record.value.get("id", record.line)),
            )
            if key is None:
                sentence.spans = None
            yield sentence

    def _key(self, record: JsonRecord) -> str | None:
        """The key of the spans; None where there is none."""
        there = [key for key in (*_FIELDS, self.label_field) if key and key in record]
        if self.label_field is not None:
            return self.label_field if self.label_field in there else None
        filled = [key for key in there if record.value[key]]
        if len(filled) > 1:
            both = " and ".join(f"`{key}`" for key in filled)
            raise record.error(f"both {both} have something: say which by `label_field`")
        return next(iter(filled or there), None)


def _spans(record: JsonRecord, key: str) -> Iterator[CharSpan]:
    for number, item in enumerate(record.get(key, list, "a list of spans")):
        yield _span(item, record, f"{key}[{number}]")


def _span(item: Any, record: JsonRecord, step: str) -> CharSpan:
    if isinstance(item, dict):
        span = record.inner(item, step)
        found = CharSpan(span.integer("start_offset"), span.integer("end_offset"), span.string("label"))
    elif (
        isinstance(item, list)
        and [type(part) for part in item[:2]] == [int, int]
        and (len(item) == 3 and isinstance(item[2], str))
    ):
        found = CharSpan(*item)
    else:
        expected = "[start, end, type] or {start_offset, end_offset, label}"
        raise record.error(f"{step} is {shown(item)}, not {expected}")
    if not found.type:
        raise record.error(f"{step} has no type")
    return found
