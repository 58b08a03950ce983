"""Annotations of words: the texts that they repeat, and those that are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sltk.components.registry import registry
from sltk.components.slots import Reader
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.types import Span

WORDS = ["Vera", "broke", "in", "-LRB-", "``", "again", "''", "-RRB-", "AT&amp;T"]


class Format(NamedTuple):
    """A format with annotations of words: the record, and the key of its annotations."""

    reader: str
    record: dict[str, Any]
    key: str
    has_text: bool
    options: dict[str, Any]

    def annotation(self, start: Any, end: Any, text: str | None) -> Any:
        place = {"start": start, "end": end} | ({} if text is None else {"text": text})
        match self.reader:
            case "ace05":
                return {"trigger": place, "event_type": "T"}
            case "oneie" if self.key == "event_mentions":
                return {"trigger": place, "event_type": "T"}
            case "oneie":
                return place | {"entity_type": "T"}
            case "spert":
                return place | {"type": "T"}
            case "maven":
                quoted = {} if text is None else {"trigger_word": text}
                return {"type": "T", "mention": [{"sent_id": 0, "offset": [start, end]} | quoted]}
        inner = [start, end - 1, "T"] if isinstance(end, int) else [start, end, "T"]
        return [inner] if self.key == "events" else inner


FORMATS = {
    "ace05": Format("ace05", {"words": WORDS}, "golden-event-mentions", True, {}),
    "oneie-ner": Format("oneie", {"tokens": WORDS}, "entity_mentions", True, {}),
    "oneie-events": Format("oneie", {"tokens": WORDS}, "event_mentions", True, {"annotation": "events"}),
    "maven": Format("maven", {"id": 1, "content": [{"tokens": WORDS}]}, "events", True, {}),
    "spert": Format("spert", {"tokens": WORDS}, "entities", False, {}),
    "dygie-ner": Format("dygie", {"sentences": [WORDS]}, "ner", False, {}),
    "dygie-events": Format("dygie", {"sentences": [WORDS]}, "events", False, {"annotation": "events"}),
}
WITH_TEXT = [name for name, each in FORMATS.items() if each.has_text]


def reader_of(folder: Path, name: str, *annotations: Any, **options: Any) -> Reader:
    """The reader of a file with one record with these annotations, in line 2."""
    each = FORMATS[name]
    path = folder / "data.jsonl"
    value = [list(annotations)] if each.reader == "dygie" else list(annotations)
    path.write_text("\n" + json.dumps(each.record | {each.key: value}) + "\n", encoding="utf-8")
    reader = registry.find("reader", each.reader).model_validate({"path": path, **each.options, **options})
    assert isinstance(reader, Reader)
    return reader


@pytest.mark.parametrize("name", WITH_TEXT)
@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (1, 3, "broke in"),
        (1, 3, "broke\n in"),
        (1, 3, None),
        (1, 3, ""),
        (3, 8, '("again")'),
        (0, 1, "Ve ra"),
        (8, 9, "AT&T"),
    ],
)
def test_texts_that_agree(tmp_path: Path, name: str, start: int, end: int, text: str | None) -> None:
    """White space and the treebank's brackets and quotes make no difference; a missing text is not compared."""
    (sentence,) = reader_of(tmp_path, name, FORMATS[name].annotation(start, end, text)).read()
    assert (sentence.spans, sentence.unused) == ([Span(start, end, "T")], ())


@pytest.mark.parametrize("name", WITH_TEXT)
def test_texts_that_differ(tmp_path: Path, name: str) -> None:
    """An annotation whose text differs from its words is an error with its line, or left out and counted."""
    bad, good = (FORMATS[name].annotation(*place, "broke in") for place in ((1, 2), (1, 3)))
    reader = reader_of(tmp_path, name, bad, good)
    with pytest.raises(DataError, match=r"the words \[1, 2\) are `broke`, not `broke in`") as caught:
        list(reader.read())
    assert "data.jsonl:2" in str(caught.value)
    (sentence,) = reader.model_copy(update={"bad_annotation": "skip"}).read()
    assert sentence.spans == [Span(1, 3, "T")]
    assert [(item.line, item.type, item.adjusted) for item in sentence.unused] == [(2, "T", False)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("place", [(1, 99), (-1, 2), (2, 2), ("1", 2), (None, None)])
def test_bad_annotations_may_be_left_out(tmp_path: Path, name: str, place: tuple[Any, Any]) -> None:
    """`bad_annotation: skip` reads the other annotations, and lists the bad one with its line."""
    bad, good = FORMATS[name].annotation(*place, None), FORMATS[name].annotation(1, 3, None)
    reader = reader_of(tmp_path, name, bad, "odd", good)
    with pytest.raises(DataError):
        list(reader.read())
    reader = reader.model_copy(update={"bad_annotation": "skip"})
    (sentence,) = reader.read()
    assert sentence.spans == [Span(1, 3, "T")]
    assert [(item.line, item.reason.startswith("left out: ")) for item in sentence.unused] == [(2, True)] * 2
    counts = statistics(reader)
    assert sum(counts["spans"].values()) == 1 + sum(item.type is not None for item in sentence.unused)
