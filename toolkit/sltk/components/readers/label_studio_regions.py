"""The regions of a Label Studio annotation: labelled characters of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...types import Unused
from .json_records import JsonRecord
from .json_text import excerpt
from .offsets import CharSpan

_TYPES = ("labels", "hypertextlabels")


def regions(
    annotation: JsonRecord, keys: Sequence[str], from_name: str | None, text: str
) -> tuple[list[CharSpan], list[Unused]]:
    """The spans in the lists under `keys`, one per label of a region, and reports of regions without a label.

    Raises:
        DataError: a region is malformed, or its characters differ from the text it quotes.
    """
    spans, unused = [], []
    for key, region, value in _labelled(annotation, keys):
        if from_name is not None and region.value.get("from_name", key) != from_name:
            continue
        labels = value.strings("labels") if "labels" in value else []
        start, end = _characters(value, text)
        spans += [CharSpan(start, end, label) for label in labels if label]
        if not all(labels) or not labels:
            reason = f"{value.path}: `{text[start:end]}` has no label"
            unused.append(Unused(annotation.file, annotation.line, reason))
    return spans, unused


def number_of_spans(annotation: JsonRecord, keys: Sequence[str]) -> int:
    """The number of spans in the lists under `keys`."""
    labels = (value.value.get("labels") for _, _, value in _labelled(annotation, keys))
    return sum(len(each) for each in labels if isinstance(each, list))


def _labelled(annotation: JsonRecord, keys: Sequence[str]) -> Iterator[tuple[str, JsonRecord, JsonRecord]]:
    """Each region of a text: its key, the item of the list, and its value, which in JSON-MIN is the item."""
    for key in keys:
        if key != "result" and not _has_regions(annotation.value[key]):
            continue
        for region in annotation.records(key):
            is_labelled = region.value.get("type") in _TYPES
            value = region.record("value") if is_labelled or "value" in region else region
            # Choices, relations and ratings have no characters.
            if is_labelled or value.value.keys() & {"start", "labels"}:
                yield key, region, value


def _has_regions(items: Any) -> bool:
    """Whether the value of a key of a JSON-MIN task is a list of regions, rather than data of the task."""
    return isinstance(items, list) and any(
        isinstance(item, dict) and ("labels" in item or {"start", "end"} <= item.keys()) for item in items
    )


def _characters(value: JsonRecord, text: str) -> tuple[int, int]:
    """Start and end of a region in the text, checked against the text that it quotes, if any."""
    start, end = value.integer("start"), value.integer("end")
    if not 0 <= start < end:
        raise value.error(f"[{start}, {end}) is not inside this text of {len(text)} characters")
    if "text" not in value:
        return start, end
    quoted = value.string("text")
    for place in ((start, end), _from_utf16(text, start, end)):
        if place and _is_same_text(text[place[0] : place[1]], quoted):
            return place
    raise value.error(f"[{start}, {end}) is {excerpt(text[start:end])} in the text, not {excerpt(quoted)}")


def _is_same_text(text: str, quoted: str) -> bool:
    r"""Compare texts: line ends are quoted as `\n`, two characters, and browsers merge white space."""
    return text == quoted or text.split() == quoted.replace("\\n", "\n").split()


def _from_utf16(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Convert offsets in UTF-16 units, as browsers count, to characters; None if they split a character."""
    units = text.encode("utf-16-le", "surrogatepass")
    try:
        before = units[: 2 * start].decode("utf-16-le", "surrogatepass")
        inside = units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return len(before), len(before) + len(inside)
