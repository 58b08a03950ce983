"""The reader `docbin`, on files written by spaCy."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from sltk.components.readers.docbin import DocBinReader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError, UsageError
from sltk.types import Span

TEXT = "Mira  sailed to New York. She slept."


@pytest.fixture
def doc(spacy_library: Any) -> Any:
    """A document with two entities, without sentence boundaries."""
    document = spacy_library.blank("en")(TEXT)
    document.set_ents([document.char_span(0, 4, label="PER"), document.char_span(16, 24, label="LOC")])
    return document


def save_docs(folder: Path, *docs: Any) -> Path:
    from spacy.tokens import DocBin

    path = folder / "docs.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


def error_message(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(DocBinReader(path=path, **options).read())
    return str(caught.value)


def assert_names(path: Path, error: DataError) -> None:
    assert f"--> {path}" in str(error)


def test_documents_without_sentences_are_sentences(tmp_path, doc):
    """Words, text, offsets and entities are those of the document, without white-space tokens."""
    (sentence,) = DocBinReader(path=save_docs(tmp_path, doc)).read()
    assert sentence.words == ["Mira", "sailed", "to", "New", "York", ".", "She", "slept", "."]
    assert sentence.text == TEXT
    assert [TEXT[start:end] for start, end in sentence.offsets] == sentence.words
    assert sentence.spans == [Span(0, 1, "PER"), Span(3, 5, "LOC")]
    assert (sentence.document, sentence.line) == ("1", 1)


def test_sentences_of_documents(tmp_path, doc):
    """Sentence boundaries are those of the file; each sentence has the document's number."""
    for token in doc:
        token.is_sent_start = token.i in (0, 7)
    first, second = DocBinReader(path=save_docs(tmp_path, doc)).read()
    assert (first.words[-1], second.words[0]) == (".", "She")
    assert (second.text, second.offsets[0], second.spans) == ("She slept.", (0, 3), [])
    counts = statistics(DocBinReader(path=save_docs(tmp_path, doc, doc)))
    assert (counts["documents"], counts["sentences"], counts["words"]) == (2, 4, 18)
    assert counts["spans"] == {"LOC": 2, "PER": 2}


def test_sentences_that_an_entity_crosses_are_joined(tmp_path, doc):
    """A sentence boundary inside an entity is ignored, and the entity is used."""
    for token in doc:
        token.is_sent_start = token.i in (0, 5, 7)
    first, _ = DocBinReader(path=save_docs(tmp_path, doc)).read()
    assert Span(3, 5, "LOC") in first.spans


def test_a_group_of_spans(tmp_path, doc):
    """`spans_key` reads spans that may overlap: all are counted, and the longest is used."""
    doc.spans["towns"] = [doc.char_span(16, 24, label="CITY"), doc.char_span(20, 24, label="NAME")]
    path = save_docs(tmp_path, doc)
    assert statistics(DocBinReader(path=path, spans_key="towns"))["spans"] == {"CITY": 1, "NAME": 1}
    assert len(load(DocBinReader(path=path, spans_key="towns"), "IOB2").unused) == 1
    message = error_message(path, spans_key="town")
    assert "no span group `town`" in message
    assert "did you mean `towns`?" in message


def test_entities_that_are_not_set(tmp_path, doc, spacy_library):
    """A document without entity annotation is not annotated; single words without it are outside."""
    bare = spacy_library.blank("en")("Rain fell.")
    (sentence,) = DocBinReader(path=save_docs(tmp_path, bare)).read()
    assert sentence.spans is None
    doc.set_ents([doc.char_span(0, 4, label="PER")], default="missing")
    (sentence,) = DocBinReader(path=save_docs(tmp_path, doc)).read()
    assert sentence.unused[0].reason == "8 words without an entity annotation are read as `O`"


def test_an_entity_of_white_space_is_reported(tmp_path, doc):
    """An entity of white space covers no word, and is reported."""
    doc.set_ents([doc[1:2]], default="outside")
    doc.set_ents([type(doc[1:2])(doc, 1, 2, label="GAP")])
    reader = DocBinReader(path=save_docs(tmp_path, doc))
    assert statistics(reader)["spans"] == {"GAP": 1}
    assert "covers no word" in load(reader, "IOB2").unused[0].reason


def test_an_empty_document_is_an_empty_sentence(tmp_path, doc, spacy_library):
    """An empty document counts as annotated, and the documents after it are read."""
    path = save_docs(tmp_path, spacy_library.blank("en")(""), doc)
    empty, other = load(DocBinReader(path=path), "IOB2")
    assert (empty.words, empty.spans, empty.text) == ([], [], "")
    assert len(other) == 9


def test_damaged_files(tmp_path, doc):
    """A file that is not a DocBin, or is truncated, is an error that names the file."""
    good = save_docs(tmp_path, doc).read_bytes()
    inner = zlib.decompress(good)
    path = tmp_path / "bad.spacy"
    for content in (b"", b"text", good[:-9], zlib.compress(inner[:-9]), zlib.compress(b"\x93\x01\x02\x03")):
        path.write_bytes(content)
        message = error_message(path)
        assert str(path) in message
        assert "not a readable DocBin" in message
    (tmp_path / "folder").mkdir()
    assert "no files in this folder" in error_message(tmp_path / "folder")
    assert "no such file" in error_message(tmp_path / "none.spacy")


@pytest.mark.parametrize("byte", [0x00, 0x05, 0xFF])
@pytest.mark.parametrize("part", range(20))
def test_every_part_of_a_file_may_be_damaged(tmp_path, doc, part, byte):
    """A change to any byte gives a proper error, or a result in which every span is used or reported."""
    path = save_docs(tmp_path, doc)
    inner = bytearray(zlib.decompress(path.read_bytes()))
    inner[part * len(inner) // 20] = byte
    path.write_bytes(zlib.compress(bytes(inner)))
    reader = DocBinReader(path=path)
    try:
        counts, data = statistics(reader), load(reader, "IOB2")
    except DataError as error:
        return assert_names(path, error)
    used = sum(len(sentence.spans) for sentence in data)
    assert sum(counts["spans"].values()) == used + sum(item.type is not None for item in data.unused)


def test_a_file_made_to_fill_the_memory(tmp_path, spacy_library):
    """A small file that unpacks to a very large one is rejected before it is unpacked completely."""
    path = tmp_path / "bomb.spacy"
    bomb = zlib.compress(bytes(80 << 20), 1)
    for content in (bomb, gzip.compress(bomb)):
        path.write_bytes(content)
        assert "unpacks to more than 200 times its size" in error_message(path)


def test_without_spacy(tmp_path, monkeypatch):
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UsageError, match=r"pip install 'sltk\[spacy\]'"):
        list(DocBinReader(path=tmp_path / "x.spacy").read())
