"""The reader `huggingface`, on data sets on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from sltk.components.readers.huggingface import HuggingFaceReader
from sltk.data.datasets import load
from sltk.errors import DataError, UsageError

NAMES = ["O", "B-LOC", "I-LOC"]
ROWS = {"tokens": [["New", "York"], ["ok"]], "ner": [[1, 2], [0]], "text_tags": [["B-LOC", "I-LOC"], ["O"]]}


@pytest.fixture
def table(datasets_library):
    """A data set whose column `ner` has numbers of class labels."""
    library = datasets_library
    string, label = library.Value("string"), library.ClassLabel(names=NAMES)
    features = library.Features(
        {"tokens": library.List(string), "ner": library.List(label), "text_tags": library.List(string)}
    )
    return library.Dataset.from_dict(ROWS, features=features)


def tags(**options) -> list[list[str] | None]:
    return [sentence.tags for sentence in HuggingFaceReader(**options).read()]


def test_class_labels_become_names(tmp_path, table):
    """Numbers in a parquet file are named by its class labels; tags that are names are unchanged."""
    path = tmp_path / "x.parquet"
    table.to_parquet(path)
    assert tags(path=path, tags_column="ner") == [["B-LOC", "I-LOC"], ["O"]]
    assert tags(path=path, tags_column="text_tags") == [["B-LOC", "I-LOC"], ["O"]]
    data = load(HuggingFaceReader(path=path, tags_column="ner", limit=1), "BIOES")
    assert [sentence.tags for sentence in data] == [["B-LOC", "E-LOC"]]


def test_a_folder_of_parquet_files(tmp_path, table):
    """The files of the split are read in order of their names."""
    (tmp_path / "data").mkdir()
    table.select([1]).to_parquet(tmp_path / "data" / "train-00001-of-00002.parquet")
    table.select([0]).to_parquet(tmp_path / "data" / "train-00000-of-00002.parquet")
    table.select([1]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    assert tags(path=tmp_path, tags_column="ner") == [["B-LOC", "I-LOC"], ["O"]]
    assert tags(path=tmp_path, tags_column="ner", split="test") == [["O"]]


def test_a_saved_data_set(tmp_path, table, datasets_library):
    """The output of `save_to_disk`, with one split or several."""
    table.save_to_disk(tmp_path / "one")
    datasets_library.DatasetDict({"dev": table}).save_to_disk(tmp_path / "many")
    assert tags(path=tmp_path / "one", tags_column="ner") == [["B-LOC", "I-LOC"], ["O"]]
    assert tags(path=tmp_path / "many", tags_column="ner", split="dev") == [["B-LOC", "I-LOC"], ["O"]]
    with pytest.raises(DataError, match="no split `train`; available: dev"):
        tags(path=tmp_path / "many", tags_column="ner")


def test_bad_data_sets(tmp_path, table, datasets_library):
    """Missing files and columns, numbers without names and different lengths are errors."""
    path = tmp_path / "x.parquet"
    table.to_parquet(path)
    with pytest.raises(DataError, match=r"no column `nerr`[\s\S]*did you mean `ner`"):
        tags(path=path, tags_column="nerr")
    with pytest.raises(DataError, match="no such file or folder"):
        tags(path=tmp_path / "absent.parquet")
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(DataError, match="not a parquet file"):
        tags(path=tmp_path / "no.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot load the data set"):
        tags(path=tmp_path / "empty")
    bare = {"tokens": [["a"], ["b"]], "tags": [[7], [8]], "short": [["O"], []]}
    datasets_library.Dataset.from_dict(bare).to_parquet(path)
    with pytest.raises(DataError, match="numbers such as 7"):
        tags(path=path)
    with pytest.raises(DataError, match="1 words but 0 tags"):
        tags(path=path, tags_column="short")
    cells = {"tokens": [["a"], ["b"]], "none": [["O"], None], "text": ["a", "b"], "holes": [["a"], [None]]}
    datasets_library.Dataset.from_dict(cells).to_parquet(path)
    with pytest.raises(DataError, match=r"column `none` has None, which is not a list\s.*:2"):
        tags(path=path, tags_column="none")
    with pytest.raises(DataError, match="column `text` has 'a', which is not a list"):
        tags(path=path, words_column="text", tags_column="tokens")
    with pytest.raises(DataError, match=r"column `holes` has \[None\], which is not a list of words"):
        tags(path=path, words_column="holes", tags_column="tokens")


def test_without_the_library(monkeypatch):
    """Without the optional extra, the error says what to install."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'sltk\[huggingface\]'"):
        tags(name="some/data")


def test_one_source():
    """Exactly one of `name` and `path` is required."""
    with pytest.raises(ValidationError, match="give `name`"):
        HuggingFaceReader()
    with pytest.raises(ValidationError, match="give `name`"):
        HuggingFaceReader(name="a/b", path=Path("c"))


def test_texts_without_annotation(tmp_path, datasets_library):
    """`text_column` reads texts for pre-training; a column of another type is an error that names it."""
    rows = {"text": ["Soup,  cold", ""], "number": [1, 2]}
    datasets_library.Dataset.from_dict(rows).to_parquet(tmp_path / "x.parquet")
    first, second = HuggingFaceReader(path=tmp_path / "x.parquet", text_column="text").read()
    assert (first.words, first.text, first.offsets) == (["Soup,", "cold"], "Soup,  cold", [(0, 5), (7, 11)])
    assert (second.words, first.tags, first.line) == ([], None, 1)
    with pytest.raises(DataError, match="no column `txt`"):
        list(HuggingFaceReader(path=tmp_path / "x.parquet", text_column="txt").read())
    with pytest.raises(DataError, match="has 1, which is not a text"):
        list(HuggingFaceReader(path=tmp_path / "x.parquet", text_column="number").read())


def test_numbers_are_named_by_the_reader(tmp_path, datasets_library):
    """`tag_names` names the numbers of a data set without class labels."""
    path = tmp_path / "x.parquet"
    datasets_library.Dataset.from_dict({"tokens": [["New", "York"]], "tags": [[1, 2]]}).to_parquet(path)
    data = load(HuggingFaceReader(path=path, tag_names=NAMES), "IOB2")
    assert data.sentences[0].tags == ["B-LOC", "I-LOC"]
    with pytest.raises(DataError, match="tag_names"):
        load(HuggingFaceReader(path=path), "IOB2")


@pytest.mark.parametrize("tag", ["", " ", "\u200b", None])
def test_empty_tags_are_errors(tmp_path, datasets_library, tag):
    """With the row; `missing` names what empty ones mean."""
    path = tmp_path / "x.parquet"
    rows = {"tokens": [["ok"], ["New", "York"]], "tags": [["O"], ["B-LOC", tag]]}
    datasets_library.Dataset.from_dict(rows).to_parquet(path)
    with pytest.raises(DataError, match=r"its tag is empty|tag None is neither a name") as caught:
        load(HuggingFaceReader(path=path), "IOB2")
    assert "x.parquet [train]:2" in str(caught.value)
    if tag is not None:
        assert load(HuggingFaceReader(path=path, missing="O"), "IOB2").sentences[1].tags == ["B-LOC", "O"]


def test_tags_are_cleaned_and_counted(tmp_path, datasets_library):
    """Like those of every other reader, with the row in place of the line."""
    path = tmp_path / "x.parquet"
    datasets_library.Dataset.from_dict({"tokens": [["ok"]], "tags": [["B-LOC\u00a0"]]}).to_parquet(path)
    data = load(HuggingFaceReader(path=path), "IOB2")
    assert (data.sentences[0].tags, [unused.line for unused in data.unused]) == (["B-LOC"], [1])


def test_class_labels_without_names_are_numbers(tmp_path, datasets_library):
    """The library names them 0, 1, …, which would be learned as plain tags; `tag_names` gives their names."""
    label = datasets_library.ClassLabel(num_classes=3)
    features = datasets_library.Features(
        {
            "tokens": datasets_library.List(datasets_library.Value("string")),
            "tags": datasets_library.List(label),
        }
    )
    rows = {"tokens": ROWS["tokens"], "tags": ROWS["ner"]}
    datasets_library.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match="tags are numbers such as 1") as caught:
        tags(path=tmp_path / "one")
    assert "tag_names" in str(caught.value)
    data = load(HuggingFaceReader(path=tmp_path / "one", tag_names=NAMES), "IOB2")
    assert [sentence.tags for sentence in data] == [["B-LOC", "I-LOC"], ["O"]]


def test_configurations_are_not_mixed(tmp_path, table):
    """A copy of a repository has a folder per configuration, such as one for each language."""
    for number, name in enumerate(["de", "en"]):
        (tmp_path / name).mkdir()
        table.select([number]).to_parquet(tmp_path / name / "train-00000-of-00001.parquet")
    table.to_parquet(tmp_path / "en" / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="`train` is in 2 folders: de, en") as caught:
        tags(path=tmp_path, tags_column="ner")
    assert "`config`" in str(caught.value)
    assert tags(path=tmp_path, config="en", tags_column="ner") == [["O"]]
    assert tags(path=tmp_path / "de", tags_column="ner") == [["B-LOC", "I-LOC"]]
    assert tags(path=tmp_path, split="test", tags_column="ner") == [["B-LOC", "I-LOC"], ["O"]]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_missing_files_of_a_split_are_an_error(tmp_path, table, kept):
    """A download that was interrupted leaves some of the numbered files."""
    for number in range(3):
        if number == kept or kept == 2:
            table.to_parquet(tmp_path / f"train-{number:05d}-of-00004.parquet")
    with pytest.raises(DataError, match="of 4 files of the split `train` are missing") as caught:
        tags(path=tmp_path, tags_column="ner")
    missing = {0: "00001-of-00004", 1: "00000-of-00004", 2: "00003-of-00004"}[kept]
    assert missing in str(caught.value)
