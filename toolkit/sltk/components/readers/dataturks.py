"""Dataturks: texts with annotated characters, as in its JSON export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from ...types import Unused
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread


@register.reader("dataturks")
class DataturksReader(OffsetReader, PartlyAnnotatedReader, JsonReader):
    """Dataturks' JSON export: objects with `content` and `annotation: [{label, points: [{start, end, text}]}]`.

    The end of a point is its last character. An annotation with several labels or points is several spans; one
    without a label is reported. An object is one sentence and one document; without `annotation` it is not annotated.
    """

    text_field: str = Field(default="content", description="key of the text")

    def annotation_keys(self) -> Sequence[str]:
        """The key of the spans."""
        return ["annotation"]

    def texts(self) -> Iterator[AnnotatedText]:
        """Yield one text per object.

        Raises:
            DataError: not such objects.
        """
        for record in self.records():
            spans, unused = self._spans(record) if "annotation" in record else (None, [])
            if spans is None:
                check_unread(self, record, [self.text_field, "extras", "metadata"])
            text, reports = record.string(self.text_field), (*record.unused, *unused)
            yield AnnotatedText(text, spans, record.file, record.line, reports, str(record.number))

    def _spans(self, record: JsonRecord) -> tuple[list[CharSpan], list[Unused]]:
        items = enumerate(record.get("annotation", list, "a list of annotations"))
        parsed, unused = self.each(
            items, lambda each: _parse(record.inner(each[1], f"annotation[{each[0]}]"))
        )
        spans = [span for each, _ in parsed for span in each]
        return spans, unused + [report for _, reports in parsed for report in reports]


def _parse(annotation: JsonRecord) -> tuple[list[CharSpan], list[Unused]]:
    """The spans of an annotation, and reports of those without a label."""
    labels = _labels(annotation)
    spans, unused = [], []
    for point in annotation.records("points"):
        start, last = point.integer("start"), point.integer("end")
        text = point.string("text") if "text" in point else None
        spans += [CharSpan(start, last + 1, label, text=text, path=point.path) for label in labels]
        if not labels:
            reason = f"{point.path}: the span [{start}, {last + 1}) has no label"
            unused.append(Unused(point.file, point.line, reason))
    return spans, unused


def _labels(annotation: JsonRecord) -> list[str]:
    """The labels of an annotation: a list, a single one, or null."""
    value = annotation.get("label", object, "a list of strings")
    if value is None or isinstance(value, str):
        return [value] if value else []
    return [label for label in annotation.strings("label") if label]
