"""The reader `csv` on tables with one word per row and a column of sentence numbers."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from sltk.cli import main
from sltk.components.readers.csv import CsvReader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.types import Span

FIRST_ROW_ONLY = """\
Sentence #,Word,POS,Tag
Sentence: 1,Ada,NNP,B-per
,Bell,NNP,I-per
,left,VBD,O
,"Oslo, Norway",NNP,B-geo
,\"\"\"\",``,O
Sentence: 2,Nobody,NN,O
,saw,VBD,O
"""
EACH_ROW = FIRST_ROW_ONLY.replace("\n,", "\nSentence: 1,").replace("1,saw", "2,saw")
KEYS = {"sentence_column": "Sentence #", "words_column": "Word", "tags_column": "Tag"}


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a file and returns its path."""

    def _write(content: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "words.csv"
        path.write_text(content, encoding=encoding, newline="")
        return path

    return _write


@pytest.mark.parametrize("content", [FIRST_ROW_ONLY, EACH_ROW], ids=["first row", "each row"])
def test_one_word_per_row(write, content):
    """The number of the sentence may stand in its first row only, or in each of them."""
    first, second = CsvReader(path=write(content), **KEYS).read()
    assert first.words == ["Ada", "Bell", "left", "Oslo, Norway", '"']
    assert first.tags == ["B-per", "I-per", "O", "B-geo", "O"]
    assert (second.words, second.line, list(second.word_lines)) == (["Nobody", "saw"], 7, [7, 8])
    data = load(CsvReader(path=write(content), **KEYS), "IOB2")
    assert data.sentences[0].spans == [Span(0, 2, "per"), Span(3, 4, "geo")]


def test_on_the_command_line(write, capsys):
    """A name with a blank and `#` is a value like any other; other encodings and separators are keys."""
    path = write(FIRST_ROW_ONLY.replace(",", "\t").replace("Bell", "Béll"), "latin-1")
    keys = {**KEYS, "encoding": "latin-1", "separator": "tab"}
    options = [part for key, value in keys.items() for part in ("--option", f"{key}={value}")]
    assert main(["stats", str(path), "--reader", "csv", "--json", *options]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["sentences"], counts["words"], counts["spans"]) == (2, 7, {"geo": 1, "per": 1})


@pytest.mark.parametrize("blank", ["\n", ",,,\n", " ,,,\n"])
def test_blank_rows_end_sentences(write, blank):
    """Two sentences without a number of their own stay apart."""
    content = f"Sentence #,Word,POS,Tag\n{blank},a,X,O\n,b,X,O\n{blank}{blank},c,X,O\n{blank}"
    sentences = CsvReader(path=write(content), **KEYS).read()
    assert [sentence.words for sentence in sentences] == [["a", "b"], ["c"]]


def test_documents(write):
    """The same number in another document is another sentence."""
    content = "doc,id,tokens,tags\nx,1,a,O\nx,1,b,O\ny,1,c,B-A\n,2,d,O\n"
    sentences = list(CsvReader(path=write(content), sentence_column="id", document_column="doc").read())
    assert [sentence.words for sentence in sentences] == [["a", "b"], ["c"], ["d"]]
    assert [sentence.document for sentence in sentences] == ["x", "y", "y"]


def test_words_alone(write):
    """`tags_column: null` reads words without annotation, in both kinds of tables."""
    (sentence,) = CsvReader(
        path=write("id,tokens\n1,a\n1,b\n"), sentence_column="id", tags_column=None
    ).read()
    assert (sentence.words, sentence.tags) == (["a", "b"], None)
    (sentence,) = CsvReader(path=write("tokens\n\"['a', 'b']\"\n"), tags_column=None).read()
    assert (sentence.words, sentence.tags) == (["a", "b"], None)


@pytest.mark.parametrize(
    ("row", "line", "expected"),
    [
        ("Sentence: 3,a,NN,\n", 9, "its tag is empty"),
        ("Sentence: 3,a,NN\n", 9, "expected 4 columns, found 3"),
    ],
)
def test_errors_name_the_line(write, row, line, expected):
    """Of the row, not of the sentence."""
    path = write(FIRST_ROW_ONLY + row)
    with pytest.raises(DataError, match=expected) as caught:
        statistics(CsvReader(path=path, **KEYS))
    assert f"{path}:{line}" in str(caught.value)


def test_an_empty_word_is_counted(write):
    """It keeps its tag, at the line of its row."""
    counts = statistics(CsvReader(path=write(FIRST_ROW_ONLY + ",,NN,O\n"), **KEYS))
    assert counts["words"] == 8
    assert [(change["line"], "an empty word" in change["reason"]) for change in counts["adjusted"]] == [
        (9, True)
    ]


def test_missing_names_what_empty_tags_mean(write):
    """`missing: O` reads a table that leaves the tags of other words empty."""
    path = write("id,tokens,tags\n1,Ada,B-PER\n1,sings,\n")
    data = load(CsvReader(path=path, sentence_column="id", missing="O"), "IOB2")
    assert data.sentences[0].tags == ["B-PER", "O"]


def test_advice_for_tables_of_words(write):
    """Without `sentence_column`, a cell with a word is an error that names the key; so is a wrong name of a column."""
    path = write(FIRST_ROW_ONLY)
    with pytest.raises(DataError, match="`sentence_column` names the column"):
        list(CsvReader(path=path, words_column="Word", tags_column="Tag").read())
    with pytest.raises(DataError, match="columns: Sentence #, Word, POS, Tag; choose with `words_column`"):
        list(CsvReader(path=path, sentence_column="Sentence #").read())
    with pytest.raises(DataError, match=r"no column `Sentence`[\s\S]*did you mean `Sentence #`"):
        list(CsvReader(path=path, **{**KEYS, "sentence_column": "Sentence"}).read())
    with pytest.raises(ValidationError):
        CsvReader(path=path, sentence_column="")


BARE_QUOTES = 'sentence\tword\ttag\n1\tHe\tO\n1\t"\tO\n1\tAda\tB-per\n2\tsaid\tO\n2\t"\tO\n2\tOslo\tB-geo\n'
BARE_KEYS = {
    "sentence_column": "sentence", "words_column": "word", "tags_column": "tag", "separator": "tab",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (BARE_QUOTES, 3),
        (BARE_QUOTES.replace('2\t"', "2\t."), 3),
        (BARE_QUOTES.replace('2\t"', '2\t"quoted"and more').replace('1\t"', "1\t."), 6),
        (BARE_QUOTES.replace('1\t"\tO', "1\t\"Ada's\tO").replace('2\t"\tO', '2\thome"\tO'), 3),
    ],
    ids=["pair", "single", "inside", "apart"],
)
def test_quotes_as_words_take_in_no_other_words(write, content, line):
    """Two of them would make all words between them one word; the error names the key that reads them."""
    path = write(content)
    with pytest.raises(DataError, match="quotes: false") as caught:
        list(CsvReader(path=path, **BARE_KEYS).read())
    assert caught.value.problems[0].location.line == line
    sentences = list(CsvReader(path=path, quotes=False, **BARE_KEYS).read())
    words = [row.split("\t")[1] for row in content.splitlines()[1:]]
    assert [word for sentence in sentences for word in sentence.words] == words
    assert [len(sentence.words) for sentence in sentences] == [3, 3]


def test_words_of_several_lines_are_an_error(write):
    """Also a word in quotes that contains a line end: no format of columns could hold it."""
    content = 'sentence,word,tag\n1,"two\nlines",O\n1,"a, b",O\n'
    keys = {**BARE_KEYS, "separator": ","}
    with pytest.raises(DataError, match="a cell in quotes goes on to line 3"):
        list(CsvReader(path=write(content), **keys).read())
    (sentence,) = CsvReader(path=write(content.replace("two\nlines", "one line")), **keys).read()
    assert sentence.words == ["one line", "a, b"]


def table(numbers: str) -> str:
    """One row per number, and a blank row for `/`."""
    rows = ["" if number == "/" else f"{number},word,O" for number in numbers.split()]
    return "\n".join(["sentence,word,tag", *rows]) + "\n"


@pytest.mark.parametrize(
    ("numbers", "interrupted"),
    [
        ("0 0 1 0 0 1", [5, 7]),
        ("1 2 3 4 2", [6]),
        ("3 1 2 1 2 1", [5, 6, 7]),
        ("1 1 2 2 3 1 1 2 2 3", []),
        ("1 2 / 1 2", []),
        ("1 1 2 3 3", []),
    ],
    ids=["interleaved", "back", "shuffled", "documents", "blank row", "ordered"],
)
def test_rows_of_a_sentence_that_are_apart_are_counted(write, numbers, interrupted):
    """Shuffled rows would be sentences of a word or two; numbers that begin again are those of another document."""
    keys = {**BARE_KEYS, "separator": ","}
    sentences = list(CsvReader(path=write(table(numbers)), **keys).read())
    unused = [each for sentence in sentences for each in sentence.unused]
    assert [each.line for each in unused] == interrupted
    assert all("was interrupted by others" in each.reason and each.adjusted for each in unused)


def test_shuffled_rows_of_many_sentences_are_counted(write):
    """Also if there are more sentences than are remembered."""
    ordered = [str(number // 10) for number in range(20_000)]
    shuffled = random.Random(0).sample(ordered, len(ordered))
    for numbers, fewest, most in ((ordered, 0, 0), (shuffled, 5_000, 20_000)):
        sentences = CsvReader(path=write(table(" ".join(numbers))), **{**BARE_KEYS, "separator": ","}).read()
        assert fewest <= sum(len(sentence.unused) for sentence in sentences) <= most


@pytest.mark.parametrize(("separator", "named"), [("\t", "tab"), (";", '";"'), ("|", '"|"')])
def test_another_separator_is_named(write, separator, named):
    """Spreadsheets write semicolons where the comma is the decimal point."""
    path = write("sentence,word,tag\n1,Ada,B-per\n".replace(",", separator))
    keys = {key: value for key, value in BARE_KEYS.items() if key != "separator"}
    with pytest.raises(DataError, match=re.escape(f"is `separator: {named}` meant?")):
        list(CsvReader(path=path, **keys).read())
    (sentence,) = CsvReader(path=path, separator=yaml.safe_load(named), **keys).read()
    assert sentence.words == ["Ada"]
