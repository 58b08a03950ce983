"""From format to format and back: the same sentences, words, tags and offsets."""

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
# Two line ends, Python's further white space, marks that begin a file, and characters beyond 16 bits.
CHARACTERS = st.one_of(
    st.characters(codec="utf-8", exclude_characters="\t\n\r"),
    st.sampled_from(" \u00a0\u2028\x0b\x1c\x85\ufeff\u200b\U0001f600#-'\"\\"),
)
WORDS = st.text(CHARACTERS, min_size=1, max_size=6)
SOLID_WORDS = WORDS.filter(lambda word: word.split() == [word])
TYPES = st.sampled_from(["PER", "LOC", "a-b:c", "Ü"])


class Given(Reader):
    """Sentences that a test wrote."""

    # A name without a registration: other tests see the registry as it is.
    type_name: ClassVar[str] = "given"
    sentences: list[Sentence]

    def read(self) -> Iterator[Sentence]:
        yield from self.sentences


@st.composite
def spans_over(draw, length: int) -> list[Span]:
    """Spans without overlap, some of which touch."""
    places = draw(st.lists(st.integers(0, length), max_size=6, unique=True).map(sorted))
    return [Span(start, end, draw(TYPES)) for start, end in pairwise(places) if draw(st.booleans())]


@st.composite
def sentences_of(draw, words=SOLID_WORDS) -> list[Sentence]:
    """Sentences with spans over words."""
    found = draw(st.lists(st.lists(words, min_size=1, max_size=6), min_size=1, max_size=4))
    return [Sentence(words, spans=draw(spans_over(len(words)))) for words in found]


def reader_of(form: str, path: Path, scheme: SchemeName = "IOB2") -> Reader:
    """A reader of what the writer of this format wrote, which keeps words that were words."""
    if form == "conll":
        return ConllReader(path=path, scheme=scheme, repair="error", **CONLL)
    if form == "jsonl":
        return JsonlReader(path=path, scheme=scheme, repair="error")
    return BratReader(path=path, splitter=WhitespaceSplitter())


def written(reader: Reader, form: str, folder: Path, name: str, scheme: SchemeName | None = None) -> Path:
    """The source in another format."""
    path = folder / f"{name}{SUFFIXES[form]}"
    WRITERS[form].save(Conversion(reader, scheme).predictions(), path)
    return path


def contents(data: Dataset, *, text: bool = False) -> list[tuple[object, ...]]:
    """Words, tags and spans of each sentence; with `text`, what it was cut from, and the offsets."""
    return [
        (sentence.words, sentence.tags, sentence.spans, *((sentence.text, sentence.offsets) if text else ()))
        for sentence in data
    ]


@pytest.mark.parametrize(("there", "back"), list(combinations_with_replacement(SUFFIXES, 2)))
@given(sentences=sentences_of(), scheme=st.sampled_from(["IOB1", "IOB2", "BIOES", "BILOU", "BMES"]))
@settings(max_examples=12, deadline=None)
def test_words_and_tags_survive_there_and_back(tmp_path_factory, there, back, sentences, scheme):
    """Words without white space in them, in any scheme, through every pair of formats."""
    folder = tmp_path_factory.mktemp("there")
    wanted = contents(load(Given(sentences=sentences), "IOB2"))
    first = written(Given(sentences=sentences), there, folder, "a", scheme)
    second = written(reader_of(there, first, scheme), back, folder, "b", scheme)
    third = written(reader_of(back, second, scheme), there, folder, "c", scheme)
    for form, path in ((there, first), (back, second), (there, third)):
        assert contents(load(reader_of(form, path, scheme), "IOB2")) == wanted


@given(sentences=sentences_of(WORDS))
@settings(max_examples=25, deadline=None)
def test_words_of_white_space_survive_where_words_are_written_apart(tmp_path_factory, sentences):
    """`conll` with tabs and `jsonl` hold any word without a tab or line end."""
    folder = tmp_path_factory.mktemp("blank")
    wanted = contents(load(Given(sentences=sentences), "IOB2"))
    columns = written(Given(sentences=sentences), "conll", folder, "a", "IOB2")
    lines = written(reader_of("conll", columns), "jsonl", folder, "b")
    again = written(reader_of("jsonl", lines), "conll", folder, "c")
    assert contents(load(reader_of("jsonl", lines), "IOB2")) == wanted
    assert again.read_bytes() == columns.read_bytes()


@st.composite
def annotated_texts(draw) -> list[dict[str, object]]:
    """Texts of one line with spans of characters, overlapping and misaligned ones among them."""
    found = []
    for text in draw(st.lists(st.text(CHARACTERS, min_size=1, max_size=30), min_size=1, max_size=3)):
        spans = [
            {"start": min(pair), "end": max(pair) + 1, "type": draw(TYPES)}
            for pair in draw(st.lists(st.tuples(*[st.integers(0, len(text) - 1)] * 2), max_size=4))
        ]
        found.append({"text": text, "spans": spans})
    return found


@given(records=annotated_texts())
@settings(max_examples=40, deadline=None)
def test_texts_and_offsets_survive_there_and_back(tmp_path_factory, records):
    """Text with spans, cut into words by the default splitter, through brat and JSON lines."""
    path = tmp_path_factory.mktemp("texts") / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    read = list(JsonlReader(path=path).read())
    assume(all(sentence.words for sentence in read))
    pair = written(JsonlReader(path=path), "brat", path.parent, "pair")
    lines = written(BratReader(path=pair), "jsonl", path.parent, "back")
    wanted = [(each.words, sorted(each.spans or ()), each.text, each.offsets) for each in read]
    for reader in (BratReader(path=pair), JsonlReader(path=lines)):
        found = list(reader.read())
        assert [(each.words, each.text, each.offsets) for each in found] == [
            (words, text, offsets) for words, _, text, offsets in wanted
        ]
        # A sentence of JSON lines without spans has tags, which are all O.
        assert [sorted(each.spans or ()) for each in found] == [spans for _, spans, _, _ in wanted]


def test_lines_that_a_span_crosses_survive(tmp_path):
    """A line end inside a span is written as brat writes it, in parts; elsewhere it becomes a space."""
    text = "New\r\nYork\nis big"
    offsets = [(0, 3), (5, 9), (10, 12), (13, 16)]
    words = [text[start:end] for start, end in offsets]
    source = Given(sentences=[Sentence(words, spans=[Span(0, 2, "LOC")], text=text, offsets=offsets)])
    path = written(source, "brat", tmp_path, "x")
    assert path.with_suffix(".ann").read_bytes() == b"T1\tLOC 0 4;5 9\tNew\r York\n"
    (found,) = BratReader(path=path).read()
    assert (found.text, found.spans) == ("New\r\nYork is big", [Span(0, 2, "LOC")])


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_tables_of_lists_reach_the_other_formats(tmp_path_factory, rows):
    """Words of a CSV file, line ends and all, are those of the JSON lines made of it."""
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    cells = [(repr(words).replace('"', '""'), repr(["O"] * len(words))) for words in rows]
    table = "tokens,tags\n" + "".join(f'"{words}","{tags}"\n' for words, tags in cells)
    path.write_text(table, encoding="utf-8", newline="")
    lines = written(CsvReader(path=path), "jsonl", path.parent, "out")
    assert [sentence.words for sentence in load(JsonlReader(path=lines), "IOB2")] == rows


@given(st.lists(st.lists(SOLID_WORDS.filter(lambda word: word != "_"), min_size=1), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_plain_tags_reach_the_other_formats(tmp_path_factory, rows):
    """Parts of speech of CoNLL-U stay plain tags in columns and in JSON lines; the text stays in the latter."""
    path = tmp_path_factory.mktemp("conllu") / "in.conllu"
    blocks = [
        "".join(f"{n}\t{word}\t_\tX{n % 2}" + "\t_" * 6 + "\n" for n, word in enumerate(words, 1))
        for words in rows
    ]
    path.write_text("\n".join(blocks), encoding="utf-8", newline="")
    wanted = load(ConlluReader(path=path), "plain")
    lines = written(ConlluReader(path=path), "jsonl", path.parent, "b")
    columns = written(JsonlReader(path=lines), "conll", path.parent, "c")
    assert contents(load(JsonlReader(path=lines), "plain"), text=True) == contents(wanted, text=True)
    assert contents(load(ConllReader(path=columns, **CONLL), "plain")) == contents(wanted)


def test_real_files_there_and_back(corpora, tmp_path):
    """Aspect terms, abstracts and a treebank keep every word, tag and offset in other formats."""
    terms = SemEval14Reader(path=corpora / "rest14" / "Restaurants_Test_Gold.xml")
    abstracts = BratReader(path=corpora / "brat")
    for name, reader in (("terms", terms), ("abstracts", abstracts)):
        wanted = contents(load(reader, "IOB2"), text=True)
        lines = written(reader, "jsonl", tmp_path, name)
        pair = written(JsonlReader(path=lines), "brat", tmp_path, name)
        for again in (JsonlReader(path=lines), BratReader(path=pair)):
            assert contents(load(again, "IOB2"), text=True) == wanted
    tree = ConlluReader(path=corpora / "conllu" / "en_ewt-ud-dev.conllu", column="xpos")
    lines = written(tree, "jsonl", tmp_path, "tree")
    columns = written(JsonlReader(path=lines, scheme="plain"), "conll", tmp_path, "tree")
    wanted = contents(load(tree, "plain"))
    assert contents(load(ConllReader(path=columns, scheme="plain", **CONLL), "plain")) == wanted


def test_real_columns_and_tables_there_and_back(corpora, tmp_path):
    """CoNLL-2003, which is IOB1, and the paper's split with its words of white space."""
    english = ConllReader(path=corpora / "conll2003" / "eng.testb")
    split = CsvReader(path=corpora / "rest14" / "paper_split" / "absa_test.csv")
    for name, reader in (("english", english), ("split", split)):
        wanted = contents(load(reader, "IOB2"))
        columns = written(reader, "conll", tmp_path, name, "BIOES")
        lines = written(ConllReader(path=columns, scheme="BIOES", **CONLL), "jsonl", tmp_path, name, "IOB2")
        assert contents(load(JsonlReader(path=lines), "IOB2")) == wanted
