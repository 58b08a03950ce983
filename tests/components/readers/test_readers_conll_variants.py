"""The reader `conll` on a few lines in the format of each shared task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from sltk.cli import main
from sltk.components.readers.brackets import BracketError, spans_of
from sltk.components.readers.conll import ConllReader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.types import Span

CHUNKS = "The DT B-NP\nold JJ I-NP\nclock NN I-NP\nstopped VBD B-VP\n. . O\n\nOh UH B-INTJ\n. . O\n\n"
SPANISH = "La O\nniña O\nvive O\nen O\nLeón B-LOC\n. O\n\n"
DUTCH = "-DOCSTART- -DOCSTART- O\nIn Prep O\nGent N B-LOC\nregent V O\nhet Pron O\n. Punc O\n\n"
ENGLISH = "-DOCSTART- -X- -X- O\n\nAda NNP B-NP I-PER\nBell NNP I-NP I-PER\nBo NNP B-NP B-PER\n. . O O\n\n"
TWEETS = "@ada\tO\n#oslo\tB-location\nis\tO\ncold\tO\n\t\nRT\tO\n:\tO\n\n"
GERMAN = (
    "#\thttp://example.org/seite [2013-01-05]\n"
    "1\tDer\tO\tO\n2\tHafen\tB-ORG\tO\n3\tBremen\tI-ORG\tB-LOC\n4\t#\tO\tO\n\n"
    "#\thttp://example.org/andere [2013-02-06]\n1\tBremer\tB-LOCderiv\tO\n2\tWind\tO\tO\n\n"
)
ONTONOTES = (
    "#begin document (nw/made/00/made_0001); part 000\n"
    "nw/made/00/made_0001   0   0   Ada    NNP  (TOP(S(NP*   -   -   -   -   (PERSON*   (ARG0*   (1\n"
    "nw/made/00/made_0001   0   1   Bell   NNP           *)   -   -   -   -          *)       *)   1)\n"
    "nw/made/00/made_0001   0   2   left   VBD        (VP*   leave 01 1  -           *      (V*)   -\n"
    "nw/made/00/made_0001   0   3   Oslo   NNP      (NP*))   -   -   -   -       (GPE)   (ARG1*)   -\n"
    "nw/made/00/made_0001   0   4   #      .           *))   -   -   -   -           *        *    -\n"
    "\n#end document\n"
    "#begin document (nw/made/00/made_0001); part 001\n"
    "nw/made/00/made_0001   1   0   Yes    UH   (TOP(INTJ*))  -   -   -   -           *    -\n"
    "\n#end document\n"
)
CONLL_2012 = {
    "word_column": 3,
    "label_column": 10,
    "labels": "brackets",
    "document_marker": "#begin",
    "comment": "#end",
}


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a file and returns its path."""

    def _write(content: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "data.txt"
        path.write_text(content, encoding=encoding, newline="")
        return path

    return _write


def test_conll_2000(write):
    """CoNLL-2000: word, part of speech, chunk in IOB2."""
    result = statistics(ConllReader(path=write(CHUNKS)))
    assert (result["sentences"], result["words"], result["scheme"]) == (2, 7, "IOB2")
    assert result["spans"] == {"INTJ": 1, "NP": 1, "VP": 1}


def test_conll_2002(write):
    """CoNLL-2002: Spanish in Latin-1 without parts of speech; Dutch with parts of speech and documents."""
    (spanish,) = ConllReader(path=write(SPANISH, "latin-1"), encoding="latin-1").read()
    assert (spanish.words[4], spanish.tags[4]) == ("León", "B-LOC")
    (dutch,) = ConllReader(path=write(DUTCH)).read()
    assert (dutch.words[:2], dutch.tags[:2], dutch.document) == (["In", "Gent"], ["O", "B-LOC"], "1")


def test_conll_2003(write):
    """CoNLL-2003: two columns of tags, here in IOB1, where B- separates adjacent names."""
    data = load(ConllReader(path=write(ENGLISH), label_column=3, scheme="IOB1", repair="error"), "IOB2")
    assert [sentence.tags for sentence in data] == [["B-PER", "I-PER", "B-PER", "O"]]
    chunks = load(ConllReader(path=write(ENGLISH), label_column=2), "IOB2")
    assert chunks.sentences[0].spans == [Span(0, 2, "NP"), Span(2, 3, "NP")]


def test_wnut_17(write):
    """WNUT-17: words may begin with #, and a line with only a tab ends a sentence."""
    first, second = ConllReader(path=write(TWEETS), separator="tab").read()
    assert first.words == ["@ada", "#oslo", "is", "cold"]
    assert first.tags[1] == "B-location"
    assert second.words == ["RT", ":"]


@pytest.mark.parametrize(
    ("column", "outer", "derived"),
    [(2, [Span(1, 3, "ORG")], [Span(0, 1, "LOCderiv")]), (3, [Span(2, 3, "LOC")], [])],
)
def test_germeval_2014(write, column, outer, derived):
    """GermEval-2014: `label_column` selects one of two levels of names; the comment above a sentence is skipped."""
    reader = ConllReader(path=write(GERMAN), separator="tab", comment="#", word_column=1, label_column=column)
    first, second = load(reader, "IOB2")
    assert first.words == ["Der", "Hafen", "Bremen", "#"]
    assert (first.spans, second.spans) == (outer, derived)


def test_conll_2012(write):
    """CoNLL-2012: bracketed names after a variable number of columns; each part of a document is a document."""
    first, second = ConllReader(path=write(ONTONOTES), **CONLL_2012).read()
    assert first.words == ["Ada", "Bell", "left", "Oslo", "#"]
    assert first.spans == [Span(0, 2, "PERSON"), Span(3, 4, "GPE")]
    assert (first.document, second.document) == ("nw/made/00/made_0001_000", "nw/made/00/made_0001_001")
    assert (second.words, second.spans) == (["Yes"], [])


@pytest.mark.parametrize(
    ("cells", "spans"),
    [
        ("* * *", []),
        ("(A) (B*) *", [Span(0, 1, "A"), Span(1, 2, "B")]),
        ("(A(B* *) *)", [Span(0, 3, "A"), Span(0, 2, "B")]),
        ("(A* (B) *)", [Span(0, 3, "A"), Span(1, 2, "B")]),
        ("(A* (B* *))", [Span(0, 3, "A"), Span(1, 3, "B")]),
    ],
)
def test_brackets(cells, spans):
    """A closing bracket closes the innermost open span."""
    assert spans_of(cells.split()) == spans


@pytest.mark.parametrize(
    ("cells", "index", "expected"),
    [
        ("* *)", 1, "closes a span that is not open"),
        ("* (A* *", 1, "`(A` is not closed"),
        ("* B-A", 1, "`B-A` is not a bracketed label"),
        ("(* *)", 0, "is not a bracketed label"),
    ],
)
def test_brackets_that_do_not_match(cells, index, expected):
    """The error has the index of the word with the wrong bracket."""
    with pytest.raises(BracketError) as caught:
        spans_of(cells.split())
    assert (caught.value.index, expected in str(caught.value)) == (index, True)


def test_bracket_errors_name_the_line(write):
    """Bracket errors have the file and line of their word."""
    path = write("a *\nb (X*\n\n")
    with pytest.raises(DataError) as caught:
        list(ConllReader(path=path, labels="brackets").read())
    assert f"{path}:2" in str(caught.value)
    with pytest.raises(ValidationError, match="needs a `label_column`"):
        ConllReader(path=path, labels="brackets", label_column=None)


def test_conll_2012_on_the_command_line(write, capsys):
    """The options in docs/guides/data.md work on the command line; `#end` is a value, not a YAML comment."""
    options = [part for key, value in CONLL_2012.items() for part in ("--option", f"{key}={value}")]
    assert main(["stats", str(write(ONTONOTES)), "--reader", "conll", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 2


@pytest.mark.parametrize(
    "rows", ["Ada\tB-PER\t\nsings\tO\t\n", "Ada\tB-PER\nsings\t\n", "Ada\tX\tB\nsings\tX\t\n"]
)
def test_an_empty_last_column(write, rows):
    """It holds no tags: an error with the line, not tags that are empty strings."""
    path = write(rows)
    line = 1 + next(n for n, row in enumerate(rows.splitlines()) if row.endswith("\t"))
    with pytest.raises(DataError, match="the last column is empty") as caught:
        list(ConllReader(path=path, separator="tab").read())
    assert f"{path}:{line}" in str(caught.value)


def test_columns_before_a_separator_at_the_end(write):
    """The advice of the error works, and so does `missing`, for files that leave the tag of `O` out."""
    path = write("Ada\tB-PER\t\nsings\tO\t\n")
    with pytest.raises(DataError, match=r"`label_column: 1` names the column before"):
        list(ConllReader(path=path, separator="tab").read())
    data = load(ConllReader(path=path, separator="tab", label_column=1), "IOB2")
    assert data.sentences[0].spans == [Span(0, 1, "PER")]
    path = write("Ada\tB-PER\nsings\t\n")
    data = load(ConllReader(path=path, separator="tab", missing="O"), "IOB2")
    assert data.sentences[0].tags == ["B-PER", "O"]


@pytest.mark.parametrize("separator", [None, "tab"])
def test_rows_of_words_alone_have_any_width(write, separator):
    """Without a column of tags only the column of the word is read; it must exist in every row."""
    path = write("Ada\nsings\tx\ty\n\tz\n" if separator is None else "Ada\nsings\tx\ty\nold\t\n")
    (sentence,) = ConllReader(path=path, separator=separator, label_column=None).read()
    assert (sentence.words[:2], len(sentence.words), sentence.tags) == (["Ada", "sings"], 3, None)
    with pytest.raises(DataError, match=r"expected ≥ 2 columns for `word_column: 1`, found 1"):
        list(ConllReader(path=path, separator=separator, label_column=None, word_column=1).read())


def test_other_blanks_do_not_separate_columns(write):
    """The error names the character, and its advice works."""
    path = write("Ada\u00a0B-PER\nsings\u00a0O\n")
    with pytest.raises(DataError, match=r"U\+00A0 does not separate columns"):
        list(ConllReader(path=path).read())
    (sentence,) = ConllReader(path=path, separator="\u00a0").read()
    assert sentence.tags == ["B-PER", "O"]
