"""The regions of a Label Studio annotation: which characters of the text have which labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...types import Unused
from .json_records import JsonRecord, shown
from .offsets import CharSpan

_TYPES = ("labels", "hypertextlabels")


@dataclass
class Regions:
    """Spans of an annotation, and regions that are none."""

    spans: list[CharSpan]
    unused: list[Unused]


def regions(annotation: JsonRecord, keys: Sequence[str], from_name: str | None, text: str) -> Regions:
    """The labelled characters in the lists under `keys`; a region with several labels is several spans.

    Raises:
        DataError: a region is malformed, or its characters are not those it quotes.
    """
    found = Regions([], [])
    for key, region, value in _labelled(annotation, keys):
        if from_name is not None and region.value.get("from_name", key) != from_name:
            continue
        labels = value.strings("labels") if "labels" in value else []
        start, end = _characters(value, text)
        found.spans += [CharSpan(start, end, label) for label in labels if label]
        if not all(labels) or not labels:
            reason = f"{value.path}: `{text[start:end]}` has no label"
            found.unused.append(Unused(annotation.file, annotation.line, reason))
    return found


def number_of_spans(annotation: JsonRecord, keys: Sequence[str]) -> int:
    """How many spans there are in the lists under `keys`."""
    found = (value.value.get("labels") for _, _, value in _labelled(annotation, keys))
    return sum(len(labels) for labels in found if isinstance(labels, list))


def _labelled(annotation: JsonRecord, keys: Sequence[str]) -> Iterator[tuple[str, JsonRecord, JsonRecord]]:
    """Each region of a text: its key, what stands in the list, and its value; the same in JSON-MIN."""
    for key in keys:
        if key != "result" and not _is_of_regions(annotation.value[key]):
            continue
        for region in annotation.records(key):
            is_labelled = region.value.get("type") in _TYPES
            value = region.record("value") if is_labelled or "value" in region else region
            # Choices, relations and ratings are of no characters.
            if is_labelled or value.value.keys() & {"start", "labels"}:
                yield key, region, value


def _is_of_regions(items: Any) -> bool:
    """Whether a key of a JSON-MIN task holds regions, and no data of the task's own."""
    return isinstance(items, list) and any(
        isinstance(item, dict) and ("labels" in item or {"start", "end"} <= item.keys()) for item in items
    )


def _characters(value: JsonRecord, text: str) -> tuple[int, int]:
    """Start and end of a region in the text, checked against what it quotes, if anything."""
    start, end = value.integer("start"), value.integer("end")
    if not 0 <= start < end:
        raise value.error(f"[{start}, {end}) are no characters of this text, which has {len(text)}")
    if "text" not in value:
        return start, end
    quoted = value.string("text")
    for place in ((start, end), _from_utf16(text, start, end)):
        if place and _same(text[place[0] : place[1]], quoted):
            return place
    raise value.error(f"[{start}, {end}) are {shown(text[start:end])} in the text, not {shown(quoted)}")


def _same(found: str, quoted: str) -> bool:
    r"""Line ends are quoted as `\n`, two characters, and browsers make one blank of several."""
    return found == quoted or found.split() == quoted.replace("\\n", "\n").split()


def _from_utf16(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Browsers count an emoji as two: the same place counted in characters; None where it splits one."""
    units = text.encode("utf-16-le", "surrogatepass")
    try:
        before = units[: 2 * start].decode("utf-16-le", "surrogatepass")
        inside = units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return len(before), len(before) + len(inside)
