"""Readers of columns, tables and text: sentences, and errors of malformed files."""

from __future__ import annotations

import codecs
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reading import error_message
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.text import TextReader
from sltk.components.writers import ConllWriter
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


def test_conll_sentences_end_at_blank_lines_and_documents(write):
    """A sentence has words, tags, first line and document; document rows are not sentences."""
    path = write(COLUMNS)
    result = list(ConllReader(path=path).read())
    assert [sentence.words for sentence in result] == [["Ada", "sang"], ["In", "Oslo"], ["Yes"]]
    assert [sentence.tags for sentence in result] == [["I-PER", "O"], ["O", "I-LOC"], ["O"]]
    assert [sentence.line for sentence in result] == [3, 6, 11]
    assert [sentence.document for sentence in result] == ["1", "1", "2"]
    assert {sentence.file for sentence in result} == {str(path)}


@pytest.mark.parametrize(("column", "tags"), [(1, ["N", "V"]), (-2, ["N", "V"]), (2, ["I-PER", "O"])])
def test_conll_label_column(write, column, tags):
    """Columns count from 0; negative numbers count from the right."""
    assert next(ConllReader(path=write(COLUMNS), label_column=column).read()).tags == tags


def test_conll_without_labels(write):
    """`label_column: null` reads words without annotation."""
    result = list(ConllReader(path=write("Ada\nsang\n\nYes\n"), label_column=None).read())
    assert [(sentence.words, sentence.tags) for sentence in result] == [
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
    """A word may contain any character that does not separate columns, such as a no-break space."""
    result = list(ConllReader(path=write(f"{line}\n"), separator=separator).read())
    assert [(sentence.words, sentence.tags) for sentence in result] == [([word], ["O"])]


def test_conll_comments_are_an_option(write):
    """Words may begin with #, unless `comment` is set."""
    path = write("# O\n#tag B-X\n")
    assert next(ConllReader(path=path).read()).words == ["#", "#tag"]
    assert next(ConllReader(path=path, comment="# ").read()).words == ["#tag"]


def test_conll_document_marker_is_an_option(write):
    """The marker may be another, or null; then -DOCSTART- is a word."""
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
        ("a X O\n", {"label_column": 3}, 1, "expected ≥ 4 columns for `label_column: 3`, found 3"),
        ("a X O\n", {"label_column": -4}, 1, "expected ≥ 4 columns for `label_column: -4`, found 3"),
        ("a O\n", {"word_column": 1}, 1, "the same"),
        ("a\tO\n", {"separator": "space"}, 1, "expected ≥ 2 columns, found 1"),
        ("a\tO\nb c\tO\n", {}, 2, "needs `separator: tab`"),
        ("# id 7\na O\n", {}, 2, "`comment: '#'` skips them"),
    ],
)
def test_conll_wrong_columns(write, content, options, line, message):
    """A wrong number of columns is an error with file and line."""
    path = write(content)
    error = error_message(ConllReader(path=path, **options))
    assert f"{path}:{line}" in error
    assert message in error


def test_rows_of_lists(write):
    """Cells are Python or JSON lists of strings; the line of a sentence is that of its row."""
    content = (
        "id,words,labels\n"
        "1,\"['a', \"\"it's\"\", '']\",\"['O', 'B-X', 'I-X']\"\n\n"
        '2,"[""q\n"", ""\\u00e9""]","[""O"", ""O""]"\n'
        "3,[],[]\n"
    )
    reader = CsvReader(path=write(content.replace("q\n", "q\\n")), words_column="words", tags_column="labels")
    result = list(reader.read())
    assert [sentence.words for sentence in result] == [["a", "it's", ""], ["q\n", "é"], []]
    assert result[0].tags == ["O", "B-X", "I-X"]
    assert [sentence.line for sentence in result] == [2, 4, 5]


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
    """A cell that is not a list of strings is an error with file and line, and is never evaluated."""
    path = write(content)
    error = error_message(CsvReader(path=path))
    assert f"{path}:{line}" in error
    assert message in error


def test_text_lines_are_sentences(write):
    """A line is a sentence with the offsets of its words; an empty line is an empty sentence, to keep the order."""
    result = list(TextReader(path=write("Good soup.\r\n\n  \nNo\x0bend\x85 \u2028here")).read())
    assert [sentence.words for sentence in result[:3]] == [["Good", "soup", "."], [], []]
    assert [sentence.line for sentence in result] == [1, 2, 3, 4]
    for sentence in result:
        assert sentence.words == [sentence.text[start:end] for start, end in sentence.offsets]


def test_text_streams():
    """The first sentence is available before the source has ended."""
    import os

    read_end, write_end = os.pipe()
    try:
        os.write(write_end, b"one line\n" * 7000)
        sentences = TextReader(path=Path(f"/dev/fd/{read_end}")).read()
        assert [len(sentence) for sentence in islice(sentences, 10)] == [2] * 10
        sentences.close()
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_a_byte_order_mark_takes_precedence(write, mark, encoding):
    """A byte-order mark takes precedence over `encoding`."""
    path = write(mark + "Zoë B-PER\r\n\r\nja O".encode(encoding))
    assert [s.words for s in ConllReader(path=path, encoding="latin-1").read()] == [["Zoë"], ["ja"]]


def test_encoding_is_an_option(write):
    """Latin-1 is decoded as Latin-1; an unknown encoding is rejected before anything is read."""
    assert next(ConllReader(path=write("Zoë O".encode("latin-1")), encoding="latin-1").read()).words == [
        "Zoë"
    ]
    with pytest.raises(ValidationError, match="unknown encoding `utf-9`"):
        ConllReader(path=Path("x"), encoding="utf-9")


def test_invalid_bytes_in_annotated_data(write):
    """Invalid bytes are an error with file and line, or replaced and counted if `encoding_errors` is `replace`."""
    path = write(b"a O\n\nZo\xeb O\nb\xff\xfe O\n")
    error = error_message(ConllReader(path=path))
    assert f"{path}:3" in error
    assert "byte 0xeb" in error
    first, second = ConllReader(path=path, encoding_errors="replace").read()
    assert (first.words, first.unused) == (["a"], ())
    assert second.words == ["Zo\ufffd", "b\ufffd\ufffd"]
    assert [(item.line, item.type) for item in second.unused] == [(3, None), (4, None)]


def test_invalid_bytes_in_text_are_replaced_and_counted(write):
    """`text` replaces bytes that are not UTF-8, and reports their lines."""
    result = list(TextReader(path=write(b"fine\nb\xc3d \xff\n")).read())
    assert result[1].text == "b\ufffdd \ufffd"
    assert [item.line for sentence in result for item in sentence.unused] == [2]


@pytest.mark.parametrize("reader", [ConllReader, CsvReader, TextReader])
def test_files_that_cannot_be_read(tmp_path, reader):
    """A missing file and a folder are errors; the message suggests a file with a similar name."""
    (tmp_path / "train.txt").write_text("")
    assert "no such file" in error_message(reader(path=tmp_path / "trian.txt"))
    assert "train.txt" in error_message(reader(path=tmp_path / "trian.txt"))
    (tmp_path / "folder").mkdir()
    assert "no files in this folder" in error_message(reader(path=tmp_path / "folder"))
    assert "no folder" in error_message(reader(path=tmp_path / "no" / "train.txt"))


WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\ufeff"), min_size=1)
TAGGED = st.lists(st.tuples(WORD, st.sampled_from(["O", "B-A", "I-A", "B-b:c-d"])), min_size=1)


@given(st.lists(TAGGED))
def test_conll_round_trip(tmp_path_factory, sentences):
    """Words survive a round trip through a tab-separated file, including white space and control characters."""
    path = tmp_path_factory.mktemp("conll") / "x.conll"
    predictions = [Prediction(Sentence([w for w, _ in pairs]), [t for _, t in pairs]) for pairs in sentences]
    path.write_text("".join(ConllWriter().render(predictions)), encoding="utf-8", newline="")
    result = list(ConllReader(path=path, separator="tab", document_marker=None).read())
    assert [list(zip(s.words, s.tags, strict=True)) for s in result] == sentences
