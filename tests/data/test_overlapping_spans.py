"""Spans that overlap, from a reader to a dataset."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from sltk import DataError, SpecError
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.data import datasets
from sltk.data.data_report import report_data
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.types import Span

SPANS = [Span(0, 4, "ORG"), Span(2, 4, "LOC"), Span(2, 4, "ORG"), Span(3, 5, "PER")]


@pytest.fixture
def nested(tmp_path):
    """A file with nested and crossing spans, one of which is there twice."""
    words = [{"text": word} for word in ["University", "of", "New", "York", "Yankees"]]
    spans = [{"start": span.start, "end": span.end, "type": span.type} for span in [*SPANS, SPANS[1]]]
    text, at = " ".join(word["text"] for word in words), 0
    for word in words:
        word["start"], word["end"] = at, at + len(word["text"])
        at = word["end"] + 1
    for span in spans:
        span["start"], span["end"] = words[span["start"]]["start"], words[span["end"] - 1]["end"]
    path = tmp_path / "nested.jsonl"
    path.write_text(json.dumps({"text": text, "words": words, "spans": spans}) + "\n", encoding="utf-8")
    return path


class Notes(Progress):
    """Keeps notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_layers_keep_every_span(nested):
    """In the scheme `layers` no span is left out, except one that is annotated twice, which is counted."""
    data = datasets.load(JsonlReader(path=nested), "layers")
    assert data.sentences[0].spans == sorted(SPANS)
    assert [unused.reason for unused in data.unused] == ["`New York` (LOC) is annotated twice"]
    assert datasets.label_set(data).types == ("LOC", "ORG", "PER")


def test_a_flat_scheme_counts_what_it_leaves_out_and_names_the_heads(nested):
    """A flat scheme keeps the longest span, lists the others, and says which heads find them."""
    data = datasets.load(JsonlReader(path=nested), "IOB2", "train")
    assert data.sentences[0].spans == [Span(0, 4, "ORG")]
    progress = Notes()
    report_data({"train": data}, progress)
    text = "\n".join(progress.notes)
    assert "`New York` (LOC) overlaps a longer or an earlier span" in text
    assert (
        "train: 4 spans left out because they overlap others: `head: {type: span}` and `{type: layered}`"
        in text
    )


def test_tags_in_layers_are_detected_and_flattened_with_a_count(tmp_path):
    """A column of tags in layers gives all spans; a flat scheme drops those that overlap, and counts them."""
    path = tmp_path / "layers.conll"
    path.write_text("New B-ORG|B-LOC\nYork I-ORG|I-LOC\nTimes I-ORG\n\nMore O\n", encoding="utf-8")
    data = datasets.load(ConllReader(path=path), "layers")
    assert data.read_scheme == "layers"
    assert data.sentences[0].spans == [Span(0, 2, "LOC"), Span(0, 3, "ORG")]
    assert data.sentences[0].tags == ["B-ORG|B-LOC", "I-ORG|I-LOC", "I-ORG"]
    flat = datasets.load(ConllReader(path=path), "BIOES")
    assert flat.sentences[0].tags == ["B-ORG", "I-ORG", "E-ORG"]
    assert [unused.reason for unused in flat.unused] == [
        "`New York` (LOC) overlaps a longer or an earlier span"
    ]


def test_a_flat_head_refuses_layers(tmp_path):
    """A head with one tag per word cannot have the scheme `layers`: the error names those that can."""
    path = tmp_path / "spec.yaml"
    spec = "name: x\nscheme: layers\ndata: {train: {type: grammar}}\nbackbone: {type: decoder, name: m}\n"
    path.write_text(spec, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        loading.load(path)
    assert caught.value.problems[0].path == "scheme"
    assert "head `linear` gives each word one tag" in str(caught.value)
    assert "`head: {type: span}` and `{type: layered}`" in str(caught.value.problems[0].notes)


COLUMNS = "New NNP B-NP I-LOC\nYork NNP I-NP I-LOC\nbank NN I-NP O\n. . O O\n\nBo NNP B-NP I-PER\n"


def column_file(tmp_path, text=COLUMNS):
    path = tmp_path / "columns.conll"
    path.write_text(text, encoding="utf-8")
    return path


def test_several_columns_are_layers(tmp_path):
    """The spans of all columns are read, each column in its own scheme."""
    data = datasets.load(ConllReader(path=column_file(tmp_path), label_column=[2, -1]), "layers")
    assert [sentence.spans for sentence in data] == [
        [Span(0, 2, "LOC"), Span(0, 3, "NP")],
        [Span(0, 1, "NP"), Span(0, 1, "PER")],
    ]
    assert data.sentences[0].tags == ["B-NP|B-LOC", "I-NP|I-LOC", "I-NP", "O"]
    flat = datasets.load(ConllReader(path=column_file(tmp_path), label_column=[2, 3]), "IOB2")
    assert [unused.type for unused in flat.unused] == ["LOC", "PER"]


def test_repairs_of_columns_are_counted(tmp_path):
    """An ill-formed tag is repaired with a report, or an error at its line."""
    path = column_file(tmp_path, COLUMNS.replace("Bo NNP B-NP", "Bo NNP I-NP"))
    reader = ConllReader(path=path, label_column=[2, 3], scheme="IOB2")
    reasons = [unused.reason for unused in datasets.load(reader, "layers").unused]
    assert reasons == [
        "1 ill-formed tags repaired in column 3",
        "1 ill-formed tags repaired in column 2",
        "1 ill-formed tags repaired in column 3",
    ]
    with pytest.raises(DataError, match=r"column 3, word 1, `New`: `I-LOC` .* ill-formed IOB2") as caught:
        datasets.load(reader.model_copy(update={"repair": "error"}), "layers")
    assert caught.value.problems[0].location.line == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"label_column": [1, 2]}, r"the tags in column 1 are plain \(`NNP`\) and mark no spans"),
        ({"label_column": [2, 7]}, "expected ≥ 8 columns for `label_column: 7`, found 4"),
        ({"label_column": [2, 3], "scheme": "BIOES"}, None),
    ],
)
def test_columns_without_spans_are_errors(tmp_path, keys, message):
    """A column that marks no spans, or is not there, is an error; a declared scheme is that of each column."""
    reader = ConllReader(path=column_file(tmp_path), **keys)
    if message is None:
        assert datasets.load(reader, "layers").unused
        return
    with pytest.raises(DataError, match=message):
        datasets.load(reader, "layers")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"labels": "brackets"}, "leave out `labels: brackets`"),
        ({"scheme": "plain"}, "leave out `scheme: plain`"),
        ({"outside": "_"}, "`outside` is for one `label_column`, and there are 2"),
    ],
)
def test_keys_for_one_column_are_refused(keys, message):
    """Keys whose meaning needs one column are errors about these keys."""
    with pytest.raises(ValidationError, match=message):
        ConllReader(path="x", label_column=[2, 3], **keys)
