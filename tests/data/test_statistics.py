"""Counts of a source."""

from __future__ import annotations

import json

import pytest

from sltk.components.readers.ace05 import Ace05Reader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.text import TextReader
from sltk.data.statistics import statistics

KEYS = {"sentences", "words", "documents", "spans", "tags", "scheme", "repaired", "unused", "adjusted"}


def test_counts_of_tags(tmp_path):
    """Tags as written, spans as decoded, documents, repairs; the keys are those promised."""
    path = tmp_path / "x"
    path.write_text("-DOCSTART- O\n\na I-X\nb B-X\n\nc O\nd B-Y\n\n-DOCSTART- O\n\ne O\n")
    found = statistics(ConllReader(path=path))
    assert found == {
        "sentences": 3,
        "words": 5,
        "documents": 2,
        "spans": {"X": 2, "Y": 1},
        "tags": {"B-X": 1, "B-Y": 1, "I-X": 1, "O": 2},
        "scheme": "IOB2",
        "repaired": 1,
        "unused": [],
        "adjusted": [],
    }
    assert json.loads(json.dumps(found)) == found
    assert found.keys() == KEYS


def test_counts_of_plain_tags(tmp_path):
    """Plain tags are counted as tags, and there are no spans."""
    path = tmp_path / "x"
    path.write_text("a DET\nb NOUN\n\nc NOUN\n")
    found = statistics(ConllReader(path=path))
    assert (found["tags"], found["spans"], found["scheme"]) == ({"DET": 1, "NOUN": 2}, {}, "plain")


def test_every_annotated_span_is_counted(tmp_path):
    """Overlapping spans, and those that cannot be used, are counted; what is not used is listed."""
    path = tmp_path / "x.jsonl"
    spans = [(0, 3, "A"), (0, 1, "A"), (3, 4, "B"), (4, 6, "C")]
    rows = [{"start": start, "end": end, "type": type_} for start, end, type_ in spans]
    path.write_text(json.dumps({"text": "a b cd", "spans": rows[:3]}) + "\n")
    found = statistics(JsonlReader(path=path, misaligned="skip"))
    assert found["spans"] == {"A": 2, "B": 1}
    assert [(item["file"], item["line"]) for item in found["unused"]] == [(str(path), 1)] * 2
    assert found["tags"] == {}
    assert found["scheme"] is None


def test_overwritten_triggers_are_counted(tmp_path):
    """A trigger that a later one overwrites is an annotated span too, and is counted once."""
    path = tmp_path / "x.json"
    mentions = [{"trigger": {"start": 0, "end": 1}, "event_type": type_} for type_ in ("A", "B")]
    path.write_text(json.dumps([{"words": ["a"], "golden-event-mentions": mentions}]))
    found = statistics(Ace05Reader(path=path))
    assert found["spans"] == {"A": 1, "B": 1}
    assert len(found["unused"]) == 1


@pytest.mark.parametrize("content", [b"Two words\n\nThree more here\n", b"Two words\n\nThr\xffe \xff more\n"])
def test_counts_of_text(tmp_path, content):
    """Text has sentences and words, and lines whose bytes were replaced are listed."""
    path = tmp_path / "x"
    path.write_bytes(content)
    found = statistics(TextReader(path=path, splitter={"type": "whitespace"}))
    assert (found["sentences"], found["words"], found["spans"], found["tags"]) == (3, 5, {}, {})
    assert [item["line"] for item in found["unused"]] == ([3] if b"\xff" in content else [])
