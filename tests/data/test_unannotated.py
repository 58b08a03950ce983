"""Sentences without annotation among annotated ones: an error, sentences without spans, or left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sltk.components.registry import registry
from sltk.components.slots import Reader
from sltk.data.conversion import Conversion
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError

LABEL = {"type": "labels", "from_name": "label", "value": {"start": 0, "end": 4, "labels": ["PER"]}}
EVENT = {"type": "Go", "mention": [{"sent_id": 0, "offset": [1, 2]}]}
FORMATS: dict[str, tuple[str, Any, Any]] = {
    "jsonl-spans": ("jsonl", {"text": "Vera left", "spans": [[0, 4, "PER"]]}, {"text": "Kai slept"}),
    "jsonl-tags": ("jsonl", {"words": ["Vera", "left"], "tags": ["B-PER", "O"]}, {"words": ["Kai", "slept"]}),
    "doccano": ("doccano", {"text": "Vera left", "label": [[0, 4, "PER"]]}, {"text": "Kai slept"}),
    "label_studio": (
        "label_studio",
        {"data": {"text": "Vera left"}, "annotations": [{"result": [LABEL]}]},
        {"data": {"text": "Kai slept"}, "annotations": []},
    ),
    "spert": (
        "spert",
        {"tokens": ["Vera", "left"], "entities": [{"start": 0, "end": 1, "type": "PER"}]},
        {"tokens": ["Kai", "slept"]},
    ),
    "dygie": (
        "dygie",
        {"sentences": [["Vera", "left"]], "ner": [[[0, 0, "PER"]]]},
        {"sentences": [["Kai", "slept"]]},
    ),
    "oneie": (
        "oneie",
        {"tokens": ["Vera", "left"], "entity_mentions": [{"start": 0, "end": 1, "entity_type": "PER"}]},
        {"tokens": ["Kai", "slept"]},
    ),
    "gliner": (
        "gliner",
        {"tokenized_text": ["Vera", "left"], "ner": [[0, 0, "PER"]]},
        {"tokenized_text": ["Kai", "slept"]},
    ),
    "dataturks": (
        "dataturks",
        {"content": "Vera left", "annotation": [{"label": ["PER"], "points": [{"start": 0, "end": 3}]}]},
        {"content": "Kai slept", "annotation": None},
    ),
    "prodigy": (
        "prodigy",
        {"text": "Vera left", "spans": [{"start": 0, "end": 4, "label": "PER"}], "answer": "accept"},
        {"text": "Kai slept"},
    ),
    "maven": (
        "maven",
        {"id": 1, "content": [{"tokens": ["Vera", "left"]}], "events": [EVENT]},
        {"id": 2, "content": [{"tokens": ["Kai", "slept"]}]},
    ),
}  # fmt: skip

Make = Callable[[str, str], Reader]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that returns the reader of a file, in which `a` is an annotated object and `b` a bare one."""

    def _make(name: str, pattern: str) -> Reader:
        reader, annotated, bare = FORMATS[name]
        path = tmp_path / "data.jsonl"
        rows = [json.dumps(annotated if letter == "a" else bare) + "\n" for letter in pattern]
        path.write_text("".join(rows), encoding="utf-8")
        result = registry.find("reader", reader).model_validate({"path": path})
        assert isinstance(result, Reader)
        return result

    return _make


def set_to(reader: Reader, unannotated: str) -> Reader:
    return reader.model_copy(update={"unannotated": unannotated})


each_format = pytest.mark.parametrize("name", FORMATS)


@each_format
@pytest.mark.parametrize("pattern", ["ab", "ba", "aab"])
def test_some_without_annotation_are_an_error(make: Make, name: str, pattern: str) -> None:
    """The error names the line of the bare sentence, and what `unannotated` can do with it."""
    reader = set_to(make(name, pattern), "error")
    with pytest.raises(DataError, match="this sentence has no tags or spans, but others have") as caught:
        load(reader, "IOB2")
    assert f":{pattern.index('b') + 1}" in str(caught.value)
    assert "`unannotated: skip` leaves them out" in str(caught.value)


@each_format
@pytest.mark.parametrize("pattern", ["ab", "ba", "bbabab"])
def test_they_may_be_left_out(make: Make, name: str, pattern: str) -> None:
    """`unannotated: skip` leaves out all of them, and lists each with its line."""
    data = load(set_to(make(name, pattern), "skip"), "IOB2")
    assert len(data) == pattern.count("a")
    assert all(sentence.spans for sentence in data)
    lines = [number for number, letter in enumerate(pattern, 1) if letter == "b"]
    assert sorted(item.line or 0 for item in data.unused) == lines
    assert {item.adjusted for item in data.unused} == {False}


@each_format
@pytest.mark.parametrize("pattern", ["ab", "ba", "bbabab", "bb"])
def test_they_may_be_outside(make: Make, name: str, pattern: str) -> None:
    """`unannotated: outside` reads them as sentences without spans, and lists each with its line."""
    reader = set_to(make(name, pattern), "outside")
    data = load(reader, "IOB2")
    assert [len(sentence.spans or ()) for sentence in data] == [int(letter == "a") for letter in pattern]
    assert all(set(sentence.tags or ()) == {"O"} for sentence in data if not sentence.spans)
    assert [(item.line, item.adjusted) for item in data.unused] == [
        (number, True) for number, letter in enumerate(pattern, 1) if letter == "b"
    ]
    counts = statistics(reader)
    assert (counts["sentences"], len(counts["adjusted"])) == (len(pattern), pattern.count("b"))
    assert len(list(Conversion(reader).predictions())) == len(pattern)


@each_format
def test_a_file_without_annotation(make: Make, name: str) -> None:
    """It is text, unless `unannotated: skip` would leave nothing of it."""
    reader = make(name, "bb")
    assert statistics(reader)["sentences"] == 2
    with pytest.raises(DataError, match="finds no tags or spans here"):
        load(reader, "IOB2")
    with pytest.raises(
        DataError, match="no sentence is annotated, so `unannotated: skip` leaves out all of them"
    ):
        load(set_to(reader, "skip"), "IOB2")


def test_documents_whose_entities_are_not_set(tmp_path: Path, spacy_library: Any) -> None:
    """In a DocBin they may be left out, or be outside."""
    from spacy.tokens import DocBin

    annotated = spacy_library.blank("en")("Vera left")
    annotated.set_ents([annotated.char_span(0, 4, label="PER")])
    path = tmp_path / "docs.spacy"
    DocBin(docs=[spacy_library.blank("en")("Kai slept"), annotated]).to_disk(path)
    reader = registry.find("reader", "docbin").model_validate({"path": path})
    assert isinstance(reader, Reader)
    with pytest.raises(DataError, match="no tags or spans, but others have"):
        load(reader, "IOB2")
    (sentence,) = load(set_to(reader, "skip"), "IOB2")
    assert (sentence.words, [item.line for item in sentence.unused]) == (["Vera", "left"], [1])
    first, _ = load(set_to(reader, "outside"), "IOB2")
    assert (first.tags, first.unused[0].adjusted) == (["O", "O"], True)
