"""doccano's JSONL export: texts with spans as character offsets."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ...types import Unused
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_spans import SpanKeys, char_span
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader
from .standoff import PartlyAnnotatedReader

_FIELDS = ("label", "labels", "entities")
_SPAN = SpanKeys("start_offset", "end_offset", "label")


@register.reader("doccano")
class DoccanoReader(OffsetReader, PartlyAnnotatedReader, JsonReader):
    """doccano's JSONL export: one object per line, with `text` and its spans in `label`, `labels` or `entities`.

    A span is `[start, end, type]` or `{start_offset, end_offset, label}`. Relations are not read. An object is
    one sentence and one document; without any of the three keys it is not annotated.
    """

    text_field: str = Field(default="text", description="key of the text; some versions write `data`")
    label_field: str | None = Field(
        default=None, description="key of the spans; unset: label, labels or entities, whichever exists"
    )

    def texts(self) -> Iterator[AnnotatedText]:
        """Yield one text per object.

        Raises:
            DataError: not such objects.
        """
        for record in self.records():
            key = self._key(record)
            spans, unused = self._spans(record, key) if key is not None else (None, [])
            yield AnnotatedText(
                record.string(self.text_field),
                spans,
                record.file,
                record.line,
                (*record.unused, *unused),
                record.name("id", record.number),
            )

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

    def _spans(self, record: JsonRecord, key: str) -> tuple[list[CharSpan], list[Unused]]:
        items = enumerate(record.get(key, list, "a list of spans"))
        return self.each(items, lambda each: char_span(each[1], record, f"{key}[{each[0]}]", _SPAN))
