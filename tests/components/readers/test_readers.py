"""Readers of columns, tables and text: what they yield, and what they say of a bad file."""

from __future__ import annotations

import codecs
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sltk.components.readers.conll import ConllReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.text import TextReader
from sltk.components.writers import ConllWriter
from sltk.errors import DataError
from sltk.types import Prediction, Sentence

COLUMNS = "-DOCSTART- X O\n\nAda N I-PER\nsang V O\n\nIn P O\nOslo N I-LOC\n\n-DOCSTART- X O\n\nYes U O\n"


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a file and returns its path."""

    def _write(content: str | bytes, name: str = "data.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def refused(reader) -> str:
    """The message with which a reader ends."""
    with pytest.raises(DataError) as caught:
        list(reader.read())
    return str(caught.value)


def test_conll_sentences_end_at_blank_lines_and_documents(write):
    """A sentence has its words, tags, first line and document; document rows are no sentences."""
    path = write(COLUMNS)
    found = list(ConllReader(path=path).read())
    assert [sentence.words for sentence in found] == [["Ada", "sang"], ["In", "Oslo"], ["Yes"]]
    assert [sentence.tags for sentence in found] == [["I-PER", "O"], ["O", "I-LOC"], ["O"]]
    assert [sentence.line for sentence in found] == [3, 6, 11]
    assert [sentence.document for sentence in found] == ["1", "1", "2"]
    assert {sentence.file for sentence in found} == {str(path)}


@pytest.mark.parametrize(("column", "tags"), [(1, ["N", "V"]), (-2, ["N", "V"]), (2, ["I-PER", "O"])])
def test_conll_label_column(write, column, tags):
    """Columns count from 0, and from the right where negative."""
    assert next(ConllReader(path=write(COLUMNS), label_column=column).read()).tags == tags


def test_conll_without_labels(write):
    """`label_column: null` reads words alone."""
    found = list(ConllReader(path=write("Ada\nsang\n\nYes\n"), label_column=None).read())
    assert [(sentence.words, sentence.tags) for sentence in found] == [
        (["Ada", "sang"], None),
        (["Yes"], None),
    ]


@pytest.mark.parametrize(
    ("separator", "line", "word"),
    [
        ("tab", "two words\tO", "two words"),
        ("tab", " \tO", " "),
        ("tab", "\u3000\tO", "\u3000"),
        ("space", "a\tb O", "a\tb"),
        ("|", "a b|O", "a b"),
        (None, "a \t O  ", "a"),
        (None, "1\u00a0000 O", "1\u00a0000"),
        (None, "a\x0bb\x1fc O", "a\x0bb\x1fc"),
    ],
)
def test_conll_separators(write, separator, line, word):
    """A word holds whatever does not separate columns: white space alone, a no-break space."""
    found = list(ConllReader(path=write(f"{line}\n"), separator=separator).read())
    assert [(sentence.words, sentence.tags) for sentence in found] == [([word], ["O"])]


def test_conll_comments_only_where_asked_for(write):
    """Words may begin with #, unless `comment` says that such lines are comments."""
    path = write("# O\n#tag B-X\n")
    assert next(ConllReader(path=path).read()).words == ["#", "#tag"]
    assert next(ConllReader(path=path, comment="# ").read()).words == ["#tag"]


def test_conll_document_marker_is_an_option(write):
    """Another marker, or none: then -DOCSTART- is a word."""
    path = write("-DOCSTART- O\n\n=== O\n\na O\n")
    assert [s.words for s in ConllReader(path=path, document_marker=None).read()] == [
        ["-DOCSTART-"],
        ["==="],
        ["a"],
    ]
    assert [s.document for s in ConllReader(path=path, document_marker="===").read()] == [None, "1"]


@pytest.mark.parametrize(
    ("content", "options", "line", "message"),
    [
        ("a O\nb\n", {}, 2, "expected 2 columns as in line 1, found 1"),
        ("a b O\nc O\n", {}, 2, "expected 3 columns as in line 1, found 2"),
        ("\n\na\n", {}, 3, "expected ≥ 2 columns, found 1"),
        ("a X O\n", {"label_column": 3}, 1, "expected ≥ 4 columns, found 3"),
        ("a X O\n", {"label_column": -4}, 1, "expected ≥ 4 columns, found 3"),
        ("a O\n", {"word_column": 1}, 1, "the same"),
        ("a\tO\n", {"separator": "space"}, 1, "expected ≥ 2 columns, found 1"),
        ("a\tO\nb c\tO\n", {}, 2, "needs `separator: tab`"),
    ],
)
def test_conll_wrong_columns(write, content, options, line, message):
    """A wrong number of columns is an error with file and line."""
    path = write(content)
    told = refused(ConllReader(path=path, **options))
    assert f"{path}:{line}" in told
    assert message in told


def test_rows_of_lists(write):
    """Cells are Python or JSON lists of any strings; the line is that of the row."""
    content = (
        "id,words,labels\n"
        "1,\"['a', \"\"it's\"\", '']\",\"['O', 'B-X', 'I-X']\"\n\n"
        '2,"[""q\n"", ""\\u00e9""]","[""O"", ""O""]"\n'
        "3,[],[]\n"
    )
    reader = CsvReader(path=write(content.replace("q\n", "q\\n")), words_column="words", tags_column="labels")
    found = list(reader.read())
    assert [sentence.words for sentence in found] == [["a", "it's", ""], ["q\n", "é"], []]
    assert found[0].tags == ["O", "B-X", "I-X"]
    assert [sentence.line for sentence in found] == [2, 4, 5]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("tokenz,tags\n", 1, "did you mean `tokenz`?"),
        ("tokens,tags\n['a'],['O']\n\"['a' 'b']\",['O']\n", 3, "not a list of strings"),
        ("tokens,tags\n[1],['O']\n", 2, "not a list of strings"),
        ("tokens,tags\n__import__('os'),['O']\n", 2, "not a list of strings"),
        ("tokens,tags\n['a'],\"['O','O']\"\n", 2, "1 words but 2 tags"),
        ("tokens,tags\n['a','b'],['O']\n", 2, "expected 2 columns, found 3"),
        ("tokens,tags\n\"['a']\"x,[]\n", 2, "not well-formed CSV"),
        ("tokens,tags,tokens\n[],[],[]\n", 1, "2 columns `tokens`"),
    ],
)
def test_bad_rows(write, content, line, message):
    """A table that is not of lists is an error with file and line, and nothing in it is run."""
    path = write(content)
    told = refused(CsvReader(path=path))
    assert f"{path}:{line}" in told
    assert message in told


def test_text_lines_are_sentences(write):
    """A line is a sentence with its words' offsets; an empty line is an empty one, so that order is kept."""
    found = list(TextReader(path=write("Good soup.\r\n\n  \nNo\x0bend\x85 \u2028here")).read())
    assert [sentence.words for sentence in found[:3]] == [["Good", "soup", "."], [], []]
    assert [sentence.line for sentence in found] == [1, 2, 3, 4]
    for sentence in found:
        assert sentence.words == [sentence.text[start:end] for start, end in sentence.offsets]


def test_text_streams(tmp_path):
    """Sentences come as lines do: the first one before the source has ended."""
    import os

    path = tmp_path / "pipe"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)  # so that neither end waits for the other to open
    try:
        os.write(keeper, b"one line\n" * 7000)
        sentences = TextReader(path=path).read()
        assert [len(sentence) for sentence in islice(sentences, 10)] == [2] * 10
        sentences.close()
    finally:
        os.close(keeper)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_a_byte_order_mark_is_obeyed(write, mark, encoding):
    """Whatever `encoding` says, a file that begins with a byte-order mark is what the mark says."""
    path = write(mark + "Zoë B-PER\r\n\r\nja O".encode(encoding))
    assert [s.words for s in ConllReader(path=path, encoding="latin-1").read()] == [["Zoë"], ["ja"]]


def test_encoding_is_an_option(write):
    """Latin-1 reads as Latin-1; an unknown encoding is refused before anything is read."""
    assert next(ConllReader(path=write("Zoë O".encode("latin-1")), encoding="latin-1").read()).words == [
        "Zoë"
    ]
    with pytest.raises(ValidationError, match="unknown encoding `utf-9`"):
        ConllReader(path=Path("x"), encoding="utf-9")


def test_invalid_bytes_in_annotated_data(write):
    """They are an error with file and line, or replaced and counted where that is asked for."""
    path = write(b"a O\n\nZo\xeb O\nb\xff\xfe O\n")
    told = refused(ConllReader(path=path))
    assert f"{path}:3" in told
    assert "byte 0xeb" in told
    first, second = ConllReader(path=path, encoding_errors="replace").read()
    assert (first.words, first.unused) == (["a"], ())
    assert second.words == ["Zo\ufffd", "b\ufffd\ufffd"]
    assert [(item.line, item.type) for item in second.unused] == [(3, None), (4, None)]


def test_invalid_bytes_in_text_are_replaced_and_counted(write):
    """`text` goes on over bytes that are not UTF-8, and says in which lines they were."""
    found = list(TextReader(path=write(b"fine\nb\xc3d \xff\n")).read())
    assert found[1].text == "b\ufffdd \ufffd"
    assert [item.line for sentence in found for item in sentence.unused] == [2]


@pytest.mark.parametrize("reader", [ConllReader, CsvReader, TextReader])
def test_files_that_cannot_be_read(tmp_path, reader):
    """A missing file, with its near namesake, and a folder are clear errors."""
    (tmp_path / "train.txt").write_text("")
    assert "no such file" in refused(reader(path=tmp_path / "trian.txt"))
    assert "train.txt" in refused(reader(path=tmp_path / "trian.txt"))
    assert "a folder" in refused(reader(path=tmp_path))
    assert "no folder" in refused(reader(path=tmp_path / "no" / "train.txt"))


WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\ufeff"), min_size=1)
TAGGED = st.lists(st.tuples(WORD, st.sampled_from(["O", "B-A", "I-A", "B-b:c-d"])), min_size=1)


@given(st.lists(TAGGED))
def test_what_the_conll_writer_writes_is_read(tmp_path_factory, sentences):
    """Any words survive the way through a tab-separated file, white space and control characters too."""
    path = tmp_path_factory.mktemp("conll") / "x.conll"
    predictions = [Prediction(Sentence([w for w, _ in pairs]), [t for _, t in pairs]) for pairs in sentences]
    path.write_text("".join(ConllWriter().render(predictions)), encoding="utf-8", newline="")
    found = list(ConllReader(path=path, separator="tab", document_marker=None).read())
    assert [list(zip(s.words, s.tags, strict=True)) for s in found] == sentences
