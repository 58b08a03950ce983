"""Annotation where a reader does not look for it is an error, not text without annotation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sltk.components.registry import registry
from sltk.components.slots import Reader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError

WORDS = ["Vera", "left"]
TEXT = "Vera left"
EVENT = {"type": "Go", "mention": [{"sent_id": 0, "offset": [1, 2]}]}
REGION = {"start": 0, "end": 4, "labels": ["PER"]}

MISNAMED: dict[str, tuple[str, Any, str]] = {
    "jsonl-spacy": ("jsonl", {"text": TEXT, "entities": [[0, 4, "PER"]]}, "entities"),
    "jsonl-no-entities": ("jsonl", {"id": 3, "text": TEXT, "entities": []}, "entities"),
    "jsonl-objects": ("jsonl", {"text": TEXT, "marks": [{"begin": 0, "stop": 4, "tag": "PER"}]}, "marks"),
    "jsonl-nested": ("jsonl", {"text": TEXT, "gold": {"ner": [[0, 4, "PER"]]}}, "gold"),
    "jsonl-points": ("jsonl", {"text": TEXT, "extras": [{"label": ["X"], "points": [{"start": 0}]}]}, "extras"),
    "jsonl-misspelt": ("jsonl", {"text": TEXT, "span": []}, "span"),
    "jsonl-tags": ("jsonl", {"words": WORDS, "classes": ["B-PER", "O"]}, "classes"),
    "jsonl-numbers": ("jsonl", {"words": WORDS, "ner_tags": [1, 0]}, "ner_tags"),
    "doccano": ("doccano", {"text": TEXT, "lables": [[0, 4, "PER"]]}, "lables"),
    "doccano-spans": ("doccano", {"id": 1, "text": TEXT, "spans": [], "relations": []}, "spans"),
    "label_studio": ("label_studio", {"data": {"text": TEXT}, "annotation": [{"result": [REGION]}]}, "annotation"),
    "label_studio-min": ("label_studio", {"text": TEXT, "ner": [{"start": 0, "stop": 4, "tag": ["PER"]}]}, "ner"),
    "spert": ("spert", {"tokens": WORDS, "entites": [{"start": 0, "end": 1, "type": "PER"}]}, "entites"),
    "dygie": ("dygie", {"sentences": [WORDS], "entities": [[[0, 0, "PER"]]]}, "entities"),
    "oneie": ("oneie", {"tokens": WORDS, "entities": [{"start": 0, "end": 1, "entity_type": "PER"}]}, "entities"),
    "maven": ("maven", {"id": 1, "content": [{"tokens": WORDS}], "event": [EVENT]}, "event"),
    "gliner": ("gliner", {"tokenized_text": WORDS, "entities": [[0, 0, "PER"]]}, "entities"),
    "dataturks": ("dataturks", {"content": TEXT, "annotations": [{"label": ["X"], "points": []}]}, "annotations"),
    "prodigy": ("prodigy", {"text": TEXT, "ents": [{"start": 0, "end": 4, "label": "PER"}]}, "ents"),
}  # fmt: skip
each_file = pytest.mark.parametrize("name", MISNAMED)


def reader_of(folder: Path, reader: str, *rows: Any, **options: Any) -> Reader:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = registry.find("reader", reader).model_validate({"path": path, **options})
    assert isinstance(result, Reader)
    return result


@each_file
def test_annotation_under_another_key(tmp_path: Path, name: str) -> None:
    """The error names the key that looks like annotation, all keys and the line."""
    reader, row, key = MISNAMED[name]
    with pytest.raises(DataError, match=f"but `{key}` looks like annotation; its keys: ") as caught:
        statistics(reader_of(tmp_path, reader, row))
    message = str(caught.value)
    assert "data.jsonl:1" in message
    assert ", ".join(row) in message


@each_file
@pytest.mark.parametrize("unannotated", ["outside", "skip"])
def test_such_files_may_be_read_as_text(tmp_path: Path, name: str, unannotated: str) -> None:
    """With `unannotated: outside` or `skip`, an object may lack annotation whatever its other keys are."""
    reader, row, _ = MISNAMED[name]
    sentences = list(reader_of(tmp_path, reader, row, unannotated=unannotated).read())
    assert [sentence.words for sentence in sentences] == [WORDS]


@pytest.mark.parametrize(
    ("reader", "row"),
    [
        ("jsonl", {"text": TEXT, "id": 7, "meta": {"source": "x", "starts": 3}, "label": "sport"}),
        ("jsonl", {"words": WORDS, "lemmas": ["Vera", "leave"]}),
        ("jsonl", {"text": TEXT, "tokens": [{"text": "Vera", "start": 0, "end": 4, "id": 0}]}),
        (
            "doccano",
            {"id": 1, "text": TEXT, "Comments": [], "relations": [{"from_id": 1, "to_id": 2, "type": "x"}]},
        ),
        ("label_studio", {"id": 1, "data": {"text": TEXT}, "predictions": [{"result": [REGION]}]}),
        ("spert", {"tokens": WORDS, "relations": [], "orig_id": 1}),
        ("dygie", {"sentences": [WORDS], "relations": [[[0, 0, 1, 1, "R"]]], "events": [[[[1, "Go"]]]]}),
        ("oneie", {"tokens": WORDS, "event_mentions": [], "relation_mentions": []}),
        (
            "maven",
            {"id": 1, "content": [{"tokens": WORDS}], "candidates": [EVENT["mention"][0] | {"id": "x"}]},
        ),  # type: ignore[index]
        ("gliner", {"tokenized_text": WORDS, "negatives": ["ORG"]}),
        ("dataturks", {"content": TEXT, "extras": {"Name": "x"}}),
        ("prodigy", {"text": TEXT, "meta": {}, "tokens": [{"start": 0, "end": 4}, {"start": 5, "end": 9}]}),
    ],
)
def test_objects_without_annotation(tmp_path: Path, reader: str, row: Any) -> None:
    """Keys that do not look like annotation are ignored; what needs annotation names them."""
    path_reader = reader_of(tmp_path, reader, row)
    assert statistics(path_reader)["words"] == 2
    with pytest.raises(DataError, match="finds no tags or spans here") as caught:
        load(path_reader, "IOB2")
    assert f"the keys of the first object: {', '.join(row)}" in str(caught.value)
    assert "annotation is read from `" in str(caught.value)


def test_a_key_may_be_chosen(tmp_path: Path) -> None:
    """The advice of `jsonl` and `doccano` reads the annotation."""
    reader, row, key = MISNAMED["jsonl-spacy"]
    assert statistics(reader_of(tmp_path, reader, row, spans_field=key))["spans"] == {"PER": 1}
    assert statistics(reader_of(tmp_path, reader, row, spans_field=None))["spans"] == {}
    reader, row, key = MISNAMED["jsonl-tags"]
    assert statistics(reader_of(tmp_path, reader, row, tags_field=key))["spans"] == {"PER": 1}
    reader, row, key = MISNAMED["doccano"]
    assert statistics(reader_of(tmp_path, reader, row, label_field=key))["spans"] == {"PER": 1}


def test_a_required_key_suggests_the_nearest(tmp_path: Path) -> None:
    """A missing key is an error with all keys and the nearest one."""
    with pytest.raises(DataError, match="did you mean `token`"):
        list(reader_of(tmp_path, "spert", {"token": WORDS, "entities": []}).read())
    with pytest.raises(DataError, match="did you mean `golden_event_mentions`"):
        list(reader_of(tmp_path, "ace05", {"words": WORDS, "golden_event_mentions": []}).read())


def test_an_unknown_region_is_an_error(tmp_path: Path) -> None:
    """A Label Studio region whose keys are unknown is an error with its keys."""
    region = {"value": {"begin": 0, "stop": 4, "label": ["PER"]}}
    row = {"data": {"text": TEXT}, "annotations": [{"result": [region]}]}
    with pytest.raises(DataError, match="neither `start` nor `labels`; its keys: begin, stop, label"):
        list(reader_of(tmp_path, "label_studio", row).read())


def test_span_groups_of_a_document_without_entities(tmp_path: Path, spacy_library: Any) -> None:
    """A DocBin without entities but with span groups is an error that names the groups."""
    from spacy.tokens import DocBin

    doc = spacy_library.blank("en")(TEXT)
    doc.spans["sc"] = [doc.char_span(0, 4, label="PER")]
    path = tmp_path / "docs.spacy"
    DocBin(docs=[doc]).to_disk(path)
    with pytest.raises(DataError, match="document 1 has no entities, but span groups: sc"):
        list(registry.find("reader", "docbin").model_validate({"path": path}).read())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<Reviews><Review><sentences><sentence><text>a</text></sentence></sentences></Review></Reviews>",
         "`Reviews` is not of this format: the reader `semeval15` reads it"),
        ("<sentences><sentence><text>a</text><Opinions><Opinion/></Opinions></sentence></sentences>",
         "`Opinions` is not of this format: the reader `semeval15` reads it"),
        ("<sentences><sentence><text>a</text><aspects><aspect/></aspects></sentence></sentences>",
         "unknown element `aspects`"),
        ("<sentences><sentence><text>a</text><aspectTerms><aspectterm/></aspectTerms></sentence></sentences>",
         "did you mean `aspectTerm`?"),
        ('<sentences><sentence><text>a</text><aspectTerm term="a" polarity="x" start="0"/></sentence></sentences>',
         "its attributes: term, polarity, start"),
        ("<Sentences><Sentence><text>a</text></Sentence></Sentences>", "unknown element `Sentences`"),
        ("<data><s>a</s></data>", "unknown element `data`"),
    ],
)  # fmt: skip
def test_unknown_elements(tmp_path: Path, content: str, message: str) -> None:
    """XML of another structure is an error that names the element, and the reader of later formats."""
    path = tmp_path / "data.xml"
    path.write_text(content, encoding="utf-8")
    reader = registry.find("reader", "semeval14").model_validate({"path": path})
    assert isinstance(reader, Reader)
    with pytest.raises(DataError) as caught:
        statistics(reader)
    assert message in str(caught.value)


def test_markup_inside_a_text(tmp_path: Path) -> None:
    """Elements inside a text are no annotation: their characters are read."""
    path = tmp_path / "data.xml"
    path.write_text("<sentences><sentence><text>a <b>c</b></text></sentence></sentences>", encoding="utf-8")
    (sentence,) = registry.find("reader", "semeval14").model_validate({"path": path}).read()
    assert sentence.words == ["a", "c"]
