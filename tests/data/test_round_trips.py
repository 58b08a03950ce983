"""Conversion between formats and back keeps sentences, words, tags and offsets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.semeval14 import SemEval14Reader
from sltk.components.slots import Reader
from sltk.components.splitters.whitespace import WhitespaceSplitter
from sltk.components.writers import BratWriter, ConllWriter, JsonlWriter
from sltk.data.conversion import Conversion
from sltk.data.datasets import Dataset, load
from sltk.schemes.names import SchemeName
from sltk.types import Sentence, Span

WRITERS = {"conll": ConllWriter(), "jsonl": JsonlWriter(), "brat": BratWriter(), "brat-folder": BratWriter()}
SUFFIXES = {"conll": ".conll", "jsonl": ".jsonl", "brat": ".txt", "brat-folder": ""}
CONLL = {"separator": "tab", "document_marker": None}
# Line ends and other white space of Python, byte order marks, and characters beyond 16 bits.
CHARACTERS = st.one_of(
    st.characters(codec="utf-8", exclude_characters="\t\n\r"),
    st.sampled_from(" \u00a0\u2028\x0b\x1c\x85\ufeff\u200b\U0001f600#-'\"\\"),
)
# At the start of a line, readers of text take U+FEFF for a byte-order mark.
WORDS = st.text(CHARACTERS, min_size=1, max_size=6).filter(lambda word: not word.startswith("\ufeff"))
SOLID_WORDS = WORDS.filter(lambda word: word.split() == [word])
TYPES = st.sampled_from(["PER", "LOC", "a-b:c", "Ü"])


class ListReader(Reader):
    """Reads a list of sentences."""

    type_name: ClassVar[str] = "list"  # not registered, so that other tests do not see it
    sentences: list[Sentence]

    def read(self) -> Iterator[Sentence]:
        yield from self.sentences


@st.composite
def spans_over(draw, length: int) -> list[Span]:
    """Spans without overlap, some of them adjacent."""
    places = draw(st.lists(st.integers(0, length), max_size=6, unique=True).map(sorted))
    return [Span(start, end, draw(TYPES)) for start, end in pairwise(places) if draw(st.booleans())]


@st.composite
def sentences_of(draw, words=SOLID_WORDS) -> list[Sentence]:
    """Sentences with spans over words."""
    sentences = draw(st.lists(st.lists(words, min_size=1, max_size=6), min_size=1, max_size=4))
    return [Sentence(words, spans=draw(spans_over(len(words)))) for words in sentences]


def reader_of(form: str, path: Path, scheme: SchemeName = "IOB2") -> Reader:
    """A reader of the format that keeps the words of the writer."""
    if form == "conll":
        return ConllReader(path=path, scheme=scheme, repair="error", **CONLL)
    if form == "jsonl":
        return JsonlReader(path=path, scheme=scheme, repair="error")
    return BratReader(path=path, splitter=WhitespaceSplitter())


def convert(reader: Reader, form: str, folder: Path, name: str, scheme: SchemeName | None = None) -> Path:
    """Write the sentences of a reader in another format; return the path."""
    path = folder / f"{name}{SUFFIXES[form]}"
    WRITERS[form].save(Conversion(reader, scheme).predictions(), path)
    return path


def contents(data: Dataset, *, text: bool = False) -> list[tuple[object, ...]]:
    """Words, tags and spans of each sentence; with `text`, also text and offsets."""
    return [
        (sentence.words, sentence.tags, sentence.spans, *((sentence.text, sentence.offsets) if text else ()))
        for sentence in data
    ]


@pytest.mark.parametrize(("form", "other"), list(combinations_with_replacement(SUFFIXES, 2)))
@given(sentences=sentences_of(), scheme=st.sampled_from(["IOB1", "IOB2", "BIOES", "BILOU", "BMES"]))
@settings(max_examples=12)
def test_words_and_tags_are_the_same_after_a_round_trip(tmp_path_factory, form, other, sentences, scheme):
    """Words without white space and their tags survive every pair of formats, in any scheme."""
    folder = tmp_path_factory.mktemp("formats")
    expected = contents(load(ListReader(sentences=sentences), "IOB2"))
    first = convert(ListReader(sentences=sentences), form, folder, "a", scheme)
    second = convert(reader_of(form, first, scheme), other, folder, "b", scheme)
    third = convert(reader_of(other, second, scheme), form, folder, "c", scheme)
    for name, path in ((form, first), (other, second), (form, third)):
        assert contents(load(reader_of(name, path, scheme), "IOB2")) == expected


@given(sentences=sentences_of(WORDS))
@settings(max_examples=25)
def test_words_of_white_space_are_the_same_in_formats_that_separate_words(tmp_path_factory, sentences):
    """`conll` with tabs and `jsonl` support any word without tab or line end."""
    folder = tmp_path_factory.mktemp("blank")
    expected = contents(load(ListReader(sentences=sentences), "IOB2"))
    columns = convert(ListReader(sentences=sentences), "conll", folder, "a", "IOB2")
    lines = convert(reader_of("conll", columns), "jsonl", folder, "b")
    again = convert(reader_of("jsonl", lines), "conll", folder, "c")
    assert contents(load(reader_of("jsonl", lines), "IOB2")) == expected
    assert again.read_bytes() == columns.read_bytes()


@st.composite
def annotated_texts(draw) -> list[dict[str, object]]:
    """Texts of one line with spans of characters, some of them overlapping or misaligned."""
    records = []
    for text in draw(st.lists(st.text(CHARACTERS, min_size=1, max_size=30), min_size=1, max_size=3)):
        spans = [
            {"start": min(pair), "end": max(pair) + 1, "type": draw(TYPES)}
            for pair in draw(st.lists(st.tuples(*[st.integers(0, len(text) - 1)] * 2), max_size=4))
        ]
        records.append({"text": text, "spans": spans})
    return records


@given(records=annotated_texts())
@settings(max_examples=40)
def test_texts_and_offsets_are_the_same_after_a_round_trip(tmp_path_factory, records):
    """Text with spans, split into words by the default splitter, is converted to brat and JSON lines."""
    path = tmp_path_factory.mktemp("texts") / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    read = list(JsonlReader(path=path).read())
    assume(all(sentence.words for sentence in read))
    pair = convert(JsonlReader(path=path), "brat", path.parent, "pair")
    lines = convert(BratReader(path=pair), "jsonl", path.parent, "back")
    expected = [(each.words, sorted(each.spans or ()), each.text, each.offsets) for each in read]
    for reader in (BratReader(path=pair), JsonlReader(path=lines)):
        sentences = list(reader.read())
        assert [(each.words, each.text, each.offsets) for each in sentences] == [
            (words, text, offsets) for words, _, text, offsets in expected
        ]
        # In JSON lines, a sentence without spans has only tags O.
        assert [sorted(each.spans or ()) for each in sentences] == [spans for _, spans, _, _ in expected]


def test_a_span_across_lines_is_the_same_after_a_round_trip(tmp_path):
    """A span with a line end is written in parts, as brat does; other line ends become spaces."""
    text = "New\r\nYork\nis big"
    offsets = [(0, 3), (5, 9), (10, 12), (13, 16)]
    words = [text[start:end] for start, end in offsets]
    source = ListReader(sentences=[Sentence(words, spans=[Span(0, 2, "LOC")], text=text, offsets=offsets)])
    path = convert(source, "brat", tmp_path, "x")
    assert path.with_suffix(".ann").read_bytes() == b"T1\tLOC 0 4;5 9\tNew\r York\n"
    (sentence,) = BratReader(path=path).read()
    assert (sentence.text, sentence.spans) == ("New\r\nYork is big", [Span(0, 2, "LOC")])


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4), min_size=1, max_size=4))
@settings(max_examples=40)
def test_tables_of_lists_convert_to_other_formats(tmp_path_factory, rows):
    """Words of a CSV file, including those with line ends, are the same in JSON lines."""
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    cells = [(repr(words).replace('"', '""'), repr(["O"] * len(words))) for words in rows]
    table = "tokens,tags\n" + "".join(f'"{words}","{tags}"\n' for words, tags in cells)
    path.write_text(table, encoding="utf-8", newline="")
    lines = convert(CsvReader(path=path), "jsonl", path.parent, "out")
    assert [sentence.words for sentence in load(JsonlReader(path=lines), "IOB2")] == rows


@given(st.lists(st.lists(SOLID_WORDS.filter(lambda word: word != "_"), min_size=1), min_size=1, max_size=3))
@settings(max_examples=25)
def test_plain_tags_convert_to_other_formats(tmp_path_factory, rows):
    """Parts of speech of CoNLL-U are plain tags in columns and in JSON lines; JSON lines also keep the text."""
    path = tmp_path_factory.mktemp("conllu") / "in.conllu"
    blocks = [
        "".join(f"{n}\t{word}\t_\tX{n % 2}" + "\t_" * 6 + "\n" for n, word in enumerate(words, 1))
        for words in rows
    ]
    path.write_text("\n".join(blocks), encoding="utf-8", newline="")
    expected = load(ConlluReader(path=path), "plain")
    lines = convert(ConlluReader(path=path), "jsonl", path.parent, "b")
    columns = convert(JsonlReader(path=lines), "conll", path.parent, "c")
    assert contents(load(JsonlReader(path=lines), "plain"), text=True) == contents(expected, text=True)
    assert contents(load(ConllReader(path=columns, **CONLL), "plain")) == contents(expected)


def test_real_files_are_the_same_after_a_round_trip(corpora, tmp_path):
    """Aspect terms, abstracts and a treebank keep every word, tag and offset in other formats."""
    terms = SemEval14Reader(path=corpora / "rest14" / "Restaurants_Test_Gold.xml")
    abstracts = BratReader(path=corpora / "brat")
    for name, reader in (("terms", terms), ("abstracts", abstracts)):
        expected = contents(load(reader, "IOB2"), text=True)
        lines = convert(reader, "jsonl", tmp_path, name)
        pair = convert(JsonlReader(path=lines), "brat", tmp_path, name)
        for again in (JsonlReader(path=lines), BratReader(path=pair)):
            assert contents(load(again, "IOB2"), text=True) == expected
    tree = ConlluReader(path=corpora / "conllu" / "en_ewt-ud-dev.conllu", column="xpos")
    lines = convert(tree, "jsonl", tmp_path, "tree")
    columns = convert(JsonlReader(path=lines, scheme="plain"), "conll", tmp_path, "tree")
    expected = contents(load(tree, "plain"))
    assert contents(load(ConllReader(path=columns, scheme="plain", **CONLL), "plain")) == expected


def test_real_columns_and_tables_are_the_same_after_a_round_trip(corpora, tmp_path):
    """CoNLL-2003 (IOB1) and the split of the paper (with words of white space) keep their words and tags."""
    english = ConllReader(path=corpora / "conll2003" / "eng.testb")
    split = CsvReader(path=corpora / "rest14" / "paper_split" / "absa_test.csv")
    for name, reader in (("english", english), ("split", split)):
        expected = contents(load(reader, "IOB2"))
        columns = convert(reader, "conll", tmp_path, name, "BIOES")
        lines = convert(ConllReader(path=columns, scheme="BIOES", **CONLL), "jsonl", tmp_path, name, "IOB2")
        assert contents(load(JsonlReader(path=lines), "IOB2")) == expected
