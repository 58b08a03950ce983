"""The regions of a Label Studio annotation: labelled characters of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...types import Unused
from .json_records import JsonRecord
from .offset_units import CharSpan
from .standoff import StandoffReader
from .unread_keys import holds_spans

_TYPES = ("labels", "hypertextlabels")


def regions(
    annotation: JsonRecord, keys: Sequence[str], from_name: str | None, text: str, reader: StandoffReader
) -> tuple[list[CharSpan], list[Unused]]:
    """The spans in the lists under `keys`, one per label of a region, and reports of regions without a label.

    Raises:
        DataError: a region is malformed.
    """
    regions = [
        value
        for key, region, value in _labelled(annotation, keys)
        if from_name is None or region.value.get("from_name", key) == from_name
    ]
    parsed, unused = reader.each(regions, _parse)
    for span, labels in parsed:
        if not all(labels) or not labels:
            reason = f"{span.path}: `{span.text or text[span.start : span.end]}` has no label"
            unused.append(Unused(annotation.file, annotation.line, reason))
    return [replace(span, type=label) for span, labels in parsed for label in labels if label], unused


def _parse(value: JsonRecord) -> tuple[CharSpan, list[str]]:
    """The characters and the labels of a region."""
    labels = value.strings("labels") if "labels" in value else []
    text = value.string("text") if "text" in value else None
    return CharSpan(value.integer("start"), value.integer("end"), "", text=text, path=value.path), labels


def number_of_spans(annotation: JsonRecord, keys: Sequence[str]) -> int:
    """The number of spans in the lists under `keys`."""
    labels = (value.value.get("labels") for _, _, value in _labelled(annotation, keys))
    return sum(len(each) for each in labels if isinstance(each, list))


def _labelled(annotation: JsonRecord, keys: Sequence[str]) -> Iterator[tuple[str, JsonRecord, JsonRecord]]:
    """Each region of a text: its key, the item of the list, and its value, which in JSON-MIN is the item."""
    for key in keys:
        if key != "result" and not has_regions(annotation.value[key]):
            continue
        for region in annotation.records(key):
            is_labelled = region.value.get("type") in _TYPES
            value = region.record("value") if is_labelled or "value" in region else region
            # Choices, relations and ratings have no characters.
            if is_labelled or value.value.keys() & {"start", "labels"}:
                yield key, region, value
            elif holds_spans(value.value):
                keys = ", ".join(value.value)
                raise value.error(f"this region has neither `start` nor `labels`; its keys: {keys}")


def has_regions(items: Any) -> bool:
    """Whether the value of a key of a JSON-MIN task is a list of regions, rather than data of the task."""
    return isinstance(items, list) and any(
        isinstance(item, dict) and ("labels" in item or {"start", "end"} <= item.keys()) for item in items
    )
