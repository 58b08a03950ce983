"""doccano's JSONL export: texts with spans as character offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field, field_validator

from ...types import Unused
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_spans import SpanKeys, char_span
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread

_FIELDS = ("label", "labels", "entities", "annotations")
_OTHER = ("relations", "Comments", "comments", "meta", "metadata")
_SPAN = SpanKeys("start_offset", "end_offset", "label")


@register.reader("doccano")
class DoccanoReader(OffsetReader, PartlyAnnotatedReader, JsonReader):
    """doccano's JSON: objects with `text`, and spans in `label`, `labels`, `entities` or (old) `annotations`.

    A span is `[start, end, type]` or `{start_offset, end_offset, label}`, where the label may be a number. Relations
    are not read. An object is one sentence and one document; without any of the keys of spans it is not annotated.
    """

    text_field: str = Field(default="text", description="key of the text; some versions write `data`")
    label_field: str | None = Field(
        default=None,
        description="key of the spans; unset: label, labels, entities or annotations, whichever exists",
    )
    label_names: dict[str, str] | None = Field(
        default=None,
        description="names of labels that are numbers: `{1: PER, 2: LOC}`; unset: the number is the type",
    )

    @field_validator("label_names", mode="before")
    @classmethod
    def _numbers_as_keys(cls, value: Any) -> Any:
        """YAML reads the keys of `{1: PER}` as numbers."""
        return {str(key): name for key, name in value.items()} if isinstance(value, dict) else value

    def annotation_keys(self) -> Sequence[str]:
        """`label_field`, or the default keys."""
        return _FIELDS if self.label_field is None else [self.label_field]

    def texts(self) -> Iterator[AnnotatedText]:
        """Yield one text per object.

        Raises:
            DataError: not such objects.
        """
        for record in self.records():
            key = self._key(record)
            spans, unused = self._spans(record, key) if key is not None else (None, [])
            if key is None:
                check_unread(self, record, {self.text_field, *_OTHER}, "`label_field: {key}` reads it")
            yield AnnotatedText(
                record.string(self.text_field),
                spans,
                record.file,
                record.line,
                (*record.unused, *unused),
                record.name("id", record.value.get("doc_id", record.number)),
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
        return self.each(items, lambda each: self._span(each[1], record, f"{key}[{each[0]}]"))

    def _span(self, item: Any, record: JsonRecord, step: str) -> CharSpan:
        if isinstance(item, dict) and type(item.get("label")) is int:
            item = {**item, "label": self._name(str(item["label"]), record, step)}
        return char_span(item, record, step, _SPAN)

    def _name(self, number: str, record: JsonRecord, step: str) -> str:
        """The name of a label that is a number."""
        if self.label_names is None:
            return number
        if number not in self.label_names:
            named = ", ".join(self.label_names)
            raise record.error(f"{step}: label {number} is not in `label_names`, which has {named or 'none'}")
        return self.label_names[number]
