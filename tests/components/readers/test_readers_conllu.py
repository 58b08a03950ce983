"""The reader `conllu`: syntactic words, one column as the tag, and the text if it is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sltk.components.readers.conllu import ConlluReader
from sltk.data.datasets import load
from sltk.data.raw import read_raw
from sltk.data.statistics import statistics
from sltk.errors import DataError


def row(id_: object, form: str, *, upos: str = "X", feats: str = "_", deprel: str = "dep", misc: str = "_"):
    """One line of ten columns."""
    return f"{id_}\t{form}\t_\t{upos}\t{upos.lower()}\t{feats}\t0\t{deprel}\t_\t{misc}\n"


TREE = (
    "# newdoc id = tale\n# sent_id = 1\n# text = He can't (now).\n"
    + row(1, "He", upos="PRON", feats="Case=Nom|Number=Sing", misc="Entity=B-PER")
    + row("2-3", "can't", upos="_", deprel="_", misc="_")
    + row(2, "ca", upos="AUX", misc="Entity=O")
    + row(3, "n't", upos="PART")
    + row("3.1", "go", upos="VERB")
    + row(4, "(", upos="PUNCT", misc="SpaceAfter=No")
    + row(5, "now", upos="ADV", deprel="advmod", misc="SpaceAfter=No|Entity=B-TIME")
    + row(6, ")", upos="PUNCT", misc="SpaceAfter=No")
    + row(7, ".", upos="PUNCT")
    + "\n# newdoc\n"
    + row(1, "Yes", upos="INTJ", misc="SpaceAfter=No")
    + row(2, "!", upos="PUNCT")
)


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a file and returns its path."""

    def _write(content: str) -> Path:
        path = tmp_path / "tree.conllu"
        path.write_text(content, encoding="utf-8", newline="")
        return path

    return _write


def error_message(path: Path, **options: object) -> str:
    """The error message of the reader."""
    with pytest.raises(DataError) as caught:
        list(ConlluReader(path=path, **options).read())
    return str(caught.value)


def test_words_are_the_rows_with_a_plain_number(write):
    """Multi-word tokens and empty nodes are not words; their number is reported at the first of them."""
    path = write(TREE)
    first, second = ConlluReader(path=path).read()
    assert first.words == ["He", "ca", "n't", "(", "now", ")", "."]
    assert first.tags == ["PRON", "AUX", "PART", "PUNCT", "ADV", "PUNCT", "PUNCT"]
    assert (first.document, first.line, second.document, second.line) == ("tale", 4, "2", 15)
    assert [(item.line, item.reason.partition(",")[0]) for item in second.unused] == [
        (5, "1 multi-word token(s)"),
        (8, "1 empty node(s)"),
    ]


def test_rows_are_counted_up_to_the_limit(write):
    """With `limit: 1`, the first sentence reports only its own rows."""
    (first,) = ConlluReader(path=write(TREE), limit=1).read()
    assert len(first.unused) == 2


@pytest.mark.parametrize(
    ("column", "tags"),
    [
        ("xpos", ["pron", "aux"]),
        ("deprel", ["dep", "dep"]),
        ("misc:Entity", ["B-PER", "O"]),
        ("feats:Case", ["Nom", "_"]),
    ],
)
def test_any_column_or_key_is_the_tag(write, column, tags):
    """A missing key is O in MISC, and `_` in FEATS."""
    assert next(ConlluReader(path=write(TREE), column=column).read()).tags[:2] == tags


def test_only_keys_of_misc_have_a_scheme(write):
    """Parts of speech are always plain tags; the scheme of entities in MISC is detected."""
    assert read_raw(ConlluReader(path=write(row(1, "a", upos="B-X")))).scheme == "plain"
    entities = statistics(ConlluReader(path=write(TREE), column="misc:Entity"))
    assert (entities["scheme"], entities["spans"]) == ("IOB2", {"PER": 1, "TIME": 1})
    assert read_raw(ConlluReader(path=write(TREE), scheme="IO", column="misc:Entity")).scheme == "IO"


def test_a_missing_tag_is_an_error_or_replaced(write):
    """`_` is not a part of speech: it is an error unless `missing` is set."""
    path = write(row(1, "a") + row(2, "b", upos="_"))
    assert "word 2, `b`, has no upos" in error_message(path)
    assert f"{path}:2" in error_message(path)
    assert next(ConlluReader(path=path, missing="NONE").read()).tags == ["X", "NONE"]


@pytest.mark.parametrize("column", ["lemma", "misc", "misc:", "head"])
def test_unknown_columns_are_rejected(column):
    """The message lists the known columns."""
    with pytest.raises(ValidationError, match="expected upos, xpos, deprel, misc:KEY or feats:KEY"):
        ConlluReader(path="x", column=column)


def test_text_and_offsets_are_those_of_the_comment(write):
    """Words of a contraction have offsets inside it if the text contains them unchanged."""
    first, second = ConlluReader(path=write(TREE)).read()
    assert first.text == "He can't (now)."
    assert [first.text[start:end] for start, end in first.offsets] == first.words
    assert (second.text, second.offsets) == ("Yes!", [(0, 3), (3, 4)])


def test_contractions_that_change_their_words_have_no_text(write):
    """Words that the text writes in another way have no offsets."""
    path = write("# text = du\n" + row("1-2", "du") + row(1, "de") + row(2, "le"))
    (sentence,) = ConlluReader(path=path).read()
    assert (sentence.words, sentence.text, sentence.offsets) == (["de", "le"], None, None)


def test_a_different_text_is_not_used(write):
    """A comment that lacks a word, or has an extra one, gives neither text nor offsets."""
    for text in ("a", "a b c", "b a"):
        (sentence,) = ConlluReader(path=write(f"# text = {text}\n" + row(1, "a") + row(2, "b"))).read()
        assert sentence.text is None


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        ("1 a _ X\n", 1, "expected 10 columns separated by tabs, found 1"),
        (row(1, "a") + row(3, "b"), 2, "id `3` is out of order: the next word is 2"),
        (row(1, "a") + row(1, "b"), 2, "id `1` is out of order"),
        (row("one", "a"), 1, "`one` is not an id"),
        (row("1-1", "a"), 1, "id `1-1` is out of order"),
        (row("1-3", "ab") + row(1, "a") + row("2-3", "b"), 3, "id `2-3` is out of order"),
        (row("2.1", "a"), 1, "id `2.1` is out of order"),
        (row("1-3", "ab") + row(1, "a") + row(2, "b"), 3, "a multi-word token ends at word 3"),
        (row("0.1", "a") + "\n", 1, "0 words"),
        (row(1, ""), 1, "no form"),
    ],
)
def test_errors_name_the_line(write, content, line, expected):
    """A malformed row is an error with its line."""
    path = write(content)
    assert expected in error_message(path)
    assert f"{path}:{line}" in error_message(path)


def test_comments_without_words_are_not_a_sentence(write):
    """A blank line after a comment discards its text, but not its document."""
    path = write("# newdoc id = d\n# text = zzz\n\n\n" + row(1, "a"))
    (sentence,) = ConlluReader(path=path).read()
    assert (sentence.document, sentence.text) == ("d", "a")


def test_parts_of_speech_are_plain_tags(write):
    """Parts of speech give a data set of plain tags; converting them to spans is an error with advice."""
    assert load(ConlluReader(path=write(TREE)), "plain").scheme == "plain"
    with pytest.raises(DataError, match="scheme: plain"):
        load(ConlluReader(path=write(TREE)), "IOB2")


def test_english_web_treebank(corpora):
    """The dev split: words without multi-word tokens and empty nodes, each sentence with its text."""
    path = corpora / "conllu" / "en_ewt-ud-dev.conllu"
    result = statistics(ConlluReader(path=path))
    assert (result["sentences"], result["words"], result["documents"]) == (2001, 25147, 318)
    assert (result["scheme"], sum(result["tags"].values()), len(result["unused"])) == ("plain", 25147, 2)
    assert [item["reason"].split()[0] for item in result["unused"]] == ["359", "4"]
    for sentence in ConlluReader(path=path, column="xpos").read():
        assert [sentence.text[start:end] for start, end in sentence.offsets] == sentence.words
