"""doccano's JSONL export: texts with spans as character offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_text import excerpt
from .offsets import CharSpan, OffsetReader

_FIELDS = ("label", "labels", "entities")


@register.reader("doccano")
class DoccanoReader(OffsetReader, JsonReader):
    """doccano's JSONL export: one object per line, with `text` and its spans in `label`, `labels` or `entities`.

    A span is `[start, end, type]` or `{start_offset, end_offset, label}`. Relations are not read. An object is
    one sentence and one document; without any of the three keys it is not annotated.
    """

    text_field: str = Field(default="text", description="key of the text; some versions write `data`")
    label_field: str | None = Field(
        default=None, description="key of the spans; unset: label, labels or entities, whichever exists"
    )

    def read_file(self) -> Iterator[Sentence]:
        """Yield one sentence per object.

        Raises:
            DataError: not such objects, or a span is outside its text.
        """
        for record in self.records():
            key = self._key(record)
            spans = None if key is None else list(_spans(record, key))
            document = record.name("id", record.number)
            yield self.annotate(record.string(self.text_field), spans, **record.origin, document=document)

    def _key(self, record: JsonRecord) -> str | None:
        """The key of the spans, if there is one."""
        if self.label_field is not None:
            return self.label_field if self.label_field in record else None
        keys = [key for key in _FIELDS if key in record]
        filled = [key for key in keys if record.value[key]]
        if len(filled) > 1:
            both = " and ".join(f"`{key}`" for key in filled)
            raise record.error(f"both {both} have spans: choose one with `label_field`")
        return next(iter(filled or keys), None)


def _spans(record: JsonRecord, key: str) -> Iterator[CharSpan]:
    for number, item in enumerate(record.get(key, list, "a list of spans")):
        yield _span(item, record, f"{key}[{number}]")


def _span(item: Any, record: JsonRecord, step: str) -> CharSpan:
    match item:
        case dict():
            inner = record.inner(item, step)
            span = CharSpan(inner.integer("start_offset"), inner.integer("end_offset"), inner.string("label"))
        case [int(start), int(end), str(type_)] if not {type(start), type(end)} & {bool}:
            span = CharSpan(start, end, type_)
        case _:
            expected = "[start, end, type] or {start_offset, end_offset, label}"
            raise record.error(f"{step} is {excerpt(item)}, not {expected}")
    if not span.type:
        raise record.error(f"{step} has no type")
    return span
