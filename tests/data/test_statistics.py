"""Statistics of a source."""

from __future__ import annotations

import gc
import json
from typing import ClassVar

import pytest

from sltk.cli import main
from sltk.components.readers.ace05 import Ace05Reader
from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.text import TextReader
from sltk.data.data_report import report_data
from sltk.data.datasets import load
from sltk.data.sentence_stream import CHUNK_SIZE
from sltk.data.statistics import statistics
from sltk.runtime.progress import Progress
from sltk.schemes import detection
from sltk.types import Sentence

KEYS = {
    "sentences",
    "words",
    "documents",
    "spans",
    "tags",
    "scheme",
    "repaired",
    "unused",
    "adjusted",
    "changes",
}


def test_counts_of_tags(tmp_path):
    """Tags of the file, decoded spans, documents and repairs, under the documented keys."""
    path = tmp_path / "x"
    path.write_text("-DOCSTART- O\n\na I-X\nb B-X\n\nc O\nd B-Y\n\n-DOCSTART- O\n\ne O\n")
    result = statistics(ConllReader(path=path))
    assert result == {
        "sentences": 3,
        "words": 5,
        "documents": 2,
        "spans": {"X": 2, "Y": 1},
        "tags": {"B-X": 1, "B-Y": 1, "I-X": 1, "O": 2},
        "scheme": "IOB2",
        "repaired": 1,
        "unused": [],
        "adjusted": [],
        "changes": [],
    }
    assert json.loads(json.dumps(result)) == result
    assert result.keys() == KEYS


def test_counts_of_plain_tags(tmp_path):
    """Plain tags are counted as tags, without spans."""
    path = tmp_path / "x"
    path.write_text("a DET\nb NOUN\n\nc NOUN\n")
    result = statistics(ConllReader(path=path))
    assert (result["tags"], result["spans"], result["scheme"]) == ({"DET": 1, "NOUN": 2}, {}, "plain")


def test_every_annotated_span_is_counted(tmp_path):
    """Overlapping and unusable spans are counted; unused ones are listed."""
    path = tmp_path / "x.jsonl"
    spans = [(0, 3, "A"), (0, 1, "A"), (3, 4, "B"), (4, 6, "C")]
    rows = [{"start": start, "end": end, "type": type_} for start, end, type_ in spans]
    path.write_text(json.dumps({"text": "a b cd", "spans": rows[:3]}) + "\n")
    result = statistics(JsonlReader(path=path, misaligned="skip"))
    assert result["spans"] == {"A": 2, "B": 1}
    assert [(item["file"], item["line"]) for item in result["unused"]] == [(str(path), 1)] * 2
    assert result["tags"] == {}
    assert result["scheme"] is None


def test_overwritten_triggers_are_counted(tmp_path):
    """A trigger overwritten by a later one is counted once as an annotated span."""
    path = tmp_path / "x.json"
    mentions = [{"trigger": {"start": 0, "end": 1}, "event_type": type_} for type_ in ("A", "B")]
    path.write_text(json.dumps([{"words": ["a"], "golden-event-mentions": mentions}]))
    result = statistics(Ace05Reader(path=path))
    assert result["spans"] == {"A": 1, "B": 1}
    assert len(result["unused"]) == 1


@pytest.mark.parametrize("content", [b"Two words\n\nThree more here\n", b"Two words\n\nThr\xffe \xff more\n"])
def test_counts_of_text(tmp_path, content):
    """Text has sentences and words; lines with replaced bytes are listed."""
    path = tmp_path / "x"
    path.write_bytes(content)
    result = statistics(TextReader(path=path, splitter={"type": "whitespace"}))
    assert (result["sentences"], result["words"], result["spans"], result["tags"]) == (3, 5, {}, {})
    assert [item["line"] for item in result["adjusted"]] == ([3] if b"\xff" in content else [])


@pytest.mark.parametrize(
    ("reader", "content"),
    [
        (ConllReader, "a B-X\nb O\n\n"),
        (ConllReader, "a NN\nb VB\n\n"),
        (JsonlReader, '{"text": "a b", "spans": [{"start": 0, "end": 1, "type": "X"}]}\n'),
        (TextReader, "a b\n"),
    ],
)
def test_sentences_are_not_held(tmp_path, reader, content):
    """Only a few sentences of a file are in memory at a time."""
    path = tmp_path / "x"
    path.write_text(content * 50 * CHUNK_SIZE)
    most, number = 0, 0

    class Watched(reader):
        """The reader, counting the sentences in memory."""

        type_name: ClassVar[str] = "watched"

        def read(self):
            nonlocal most, number
            for sentence in super().read():
                number += 1
                if number % (10 * CHUNK_SIZE) == 0:
                    gc.collect()
                    most = max(most, sum(isinstance(each, Sentence) for each in gc.get_objects()))
                yield sentence

    gc.collect()
    gc.freeze()  # objects of other tests are not listed
    try:
        assert statistics(Watched(path=path))["sentences"] == 50 * CHUNK_SIZE
    finally:
        gc.unfreeze()
    assert 0 < most <= 3 * CHUNK_SIZE


def test_documents_of_different_files_are_different(tmp_path):
    """Documents of the same number in several files are counted for each file."""
    for name in ("a.conll", "b.conll"):
        (tmp_path / name).write_text("-DOCSTART- O\n\nx O\n\n-DOCSTART- O\n\ny O\n")
    assert statistics(ConllReader(path=tmp_path))["documents"] == 4


WORDS = "\n".join(f"word{number} tag{number % 40}" for number in range(45))


@pytest.mark.parametrize(
    ("content", "warns"),
    [
        (WORDS, True),  # 35 of 40 tags occur once
        (WORDS + "\n" + WORDS, False),
        ("a NN\nb VB\nc DT\n", False),  # a small file
        ("\n".join(f"word{number} B-T{number}" for number in range(45)), False),
    ],
)
@pytest.mark.parametrize("scheme", ["auto", "plain"])
def test_plain_tags_that_occur_once(tmp_path, capsys, content, warns, scheme):
    """Plain tags of which nearly all occur once are probably none: `stats`, `convert` and training warn."""
    path = tmp_path / "x.conll"
    path.write_text(content + "\n")
    says = "plain tags occur only once"
    expected = warns or (scheme == "plain" and "B-T" in content)
    arguments = [str(path), "--reader", "conll", "--option", f"scheme={scheme}"]
    assert main(["stats", *arguments]) == 0
    assert (says in capsys.readouterr().err) == expected
    assert main(["convert", str(path), str(tmp_path / "y"), "--writer", "conll", *arguments[1:]]) == 0
    assert (says in capsys.readouterr().err) == expected
    assert ("warning" in statistics(ConllReader(path=path, scheme=scheme))) == expected
    notes = []
    progress = Progress()
    progress.note = notes.append
    if warns:
        report_data({"train": load(ConllReader(path=path, scheme=scheme), "plain")}, progress)
        assert any(says in note for note in notes)


def test_memory_for_tags_is_bounded(monkeypatch):
    """Of tags that are as many as words, only some are in memory, and the scheme is the same."""
    monkeypatch.setattr(detection, "_MOST_PAIRS", 200)
    monkeypatch.setattr(detection, "_MOST_NAMES", 50)
    detector = detection.TagDetector()
    for number in range(1000):
        detector.add([f"{number}", f"x{number}", "B-X", "I-X"])
    assert len(detector._pairs) <= 204
    assert detector.counts().total() == 4000
    assert detector.reading().scheme == "IOB2"
    detector.add(["y"] * 5)
    assert detector.reading().scheme == "plain"


def test_counts_of_overlapping_and_discontinuous_spans(tmp_path, capsys):
    """Spans that share words are counted by how, with the layers that hold them; others have no such keys."""
    (tmp_path / "d.txt").write_text("a b c d e f g h\n")
    text = "a b c d e f g h"
    parts = ["X 0 7", "X 0 7", "Y 0 3", "X 4 7", "Y 4 7", "X 8 13", "X 10 15", "Y 0 1;14 15"]
    quoted = [text[0:7], text[0:7], text[0:3], text[4:7], text[4:7], text[8:13], text[10:15], "a h"]
    lines = [
        f"T{number}\t{part}\t{own}\n" for number, (part, own) in enumerate(zip(parts, quoted, strict=True))
    ]
    (tmp_path / "d.ann").write_text("".join(lines))
    nested = BratReader(path=tmp_path / "d.ann")
    result = statistics(nested)
    assert result["overlaps"] == {"spans": 6, "inside": 3, "same_words": 2, "crossing": 2, "layers": 3}
    assert result["discontinuous"] == 1
    assert statistics(nested.model_copy(update={"discontinuous": "hull"}))["discontinuous"] == 1
    assert main(["stats", str(tmp_path / "d.ann"), "--reader", "brat"]) == 0
    printed = capsys.readouterr()
    assert (
        "6 spans overlap: 3 inside others, 2 over the same words, 2 crossing; 3 layers hold all"
        in printed.out
    )
    assert "discontinuous spans: 1" in printed.out
    assert "`head: {type: span}` and `{type: layered}`" in printed.err
    path = tmp_path / "layers.conll"
    path.write_text("a\tB-X|B-Y\nb\tI-X\n")
    result = statistics(ConllReader(path=path))
    assert (result["spans"], result["overlaps"]["inside"]) == ({"X": 1, "Y": 1}, 1)
