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
from sltk.types import Span


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


@pytest.mark.parametrize("column", ["lemma", "misc:", "head", "feats"])
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


def mentions(*cells: str | None, key: str = "Entity") -> str:
    """A sentence whose words are letters; cells are values of the key, and None is a word without one."""
    letters = zip("abcdefgh", cells, strict=False)
    rows = (
        row(number, letter, misc=f"{key}={cell}" if cell else "_")
        for number, (letter, cell) in enumerate(letters, 1)
    )
    return "".join(rows) + "\n"


@pytest.mark.parametrize(
    ("cells", "spans"),
    [
        (("(e1-person-1-", "e1)"), [Span(0, 2, "person")]),
        (("(e1-person-1-)", None), [Span(0, 1, "person")]),
        (("(e1-person-2-(e2-place-1-)", None, "e1)"), [Span(0, 3, "person"), Span(0, 1, "place")]),
        (("(e1-a-1-", "(e2-b-1-", "e2)e1)"), [Span(0, 3, "a"), Span(1, 3, "b")]),
        (("(e1-a-1-", "(e2-b-1-", "e1)", "e2)"), [Span(0, 3, "a"), Span(1, 4, "b")]),
        (("(e1-a-1-", "(e1-a-1-)", "e1)"), [Span(0, 3, "a"), Span(1, 2, "a")]),
        (("(e1-a-1-", "e1)(e2-b-1-)"), [Span(0, 2, "a"), Span(1, 2, "b")]),
        (("(12-person-giv:act-1-coref", None, "12)"), [Span(0, 3, "person")]),
        (("(person-12", "person-12)"), [Span(0, 2, "person")]),
        (("(e1--1-", "e1)"), [Span(0, 2, "_")]),
        (("(2", "(3)2)"), [Span(0, 2, "_"), Span(1, 2, "_")]),
        (("(place", "place)", "(person)"), [Span(0, 2, "place"), Span(2, 3, "person")]),
        (("(event-1-new-M*A*S*H", "1)"), [Span(0, 2, "event")]),
        (("(PER*", "*)", "*", "(LOC)"), [Span(0, 2, "PER"), Span(3, 4, "LOC")]),
    ],
)
def test_brackets_in_misc_are_spans(write, cells, spans):
    """Mentions may nest and overlap; a closing bracket names the mention, or closes the last one."""
    (sentence,) = ConlluReader(path=write(mentions(*cells)), column="misc:Entity").read()
    assert (sentence.tags, sentence.spans) == (None, spans)


@pytest.mark.parametrize(
    ("fields", "bracket", "type_"),
    [
        ("eid-etype-head-other", "e1-person-1-x", "person"),
        ("GRP-etype-infstat", "1-person-giv", "person"),
        ("entity-GRP-infstat-MIN", "person-1-giv-2", "person"),
        ("eid-head-etype", "e1-1-person", "person"),
        ("eid-head", "e1-1", "_"),
        ("eid", "e1", "_"),
        ("etype-identity", "person-Ada_Bell", "person"),
        ("etype", "person", "person"),
    ],
)
def test_a_comment_declares_the_fields_of_brackets(write, fields, bracket, type_):
    """`# global.Entity` names the field that is the type."""
    content = f"# global.Entity = {fields}\n" + mentions(f"({bracket}", None, f"{bracket.split('-')[0]})")
    if fields.startswith("entity"):
        content = content.replace("Entity=person)", "Entity=1)")
    (sentence,) = ConlluReader(path=write(content), column="misc:Entity").read()
    assert sentence.spans == [Span(0, 3, type_)]


def test_mentions_of_an_entity_share_its_type(write):
    """A mention without a type has that of an earlier mention of the same entity in its document."""
    content = (
        "# newdoc id = a\n# global.Entity = eid-etype-head\n"
        + mentions("(e1-person-1)", "(e1)")
        + mentions("(e1--1)")
        + "# newdoc id = b\n"
        + mentions("(e1)")
    )
    sentences = ConlluReader(path=write(content), column="misc:Entity").read()
    types = [[span.type for span in sentence.spans] for sentence in sentences]
    assert types == [["person", "person"], ["person"], ["_"]]


def test_the_first_label_decides(write):
    """Sentences without a label before it have no spans, or O; `labels` decides without looking."""
    empty = mentions(None, None)
    brackets = list(ConlluReader(path=write(empty + mentions("(e1-x-)")), column="misc:Entity").read())
    assert [(sentence.tags, sentence.spans) for sentence in brackets] == [
        (None, []),
        (None, [Span(0, 1, "x")]),
    ]
    tags = list(ConlluReader(path=write(empty + mentions("B-PER", "I-PER")), column="misc:Entity").read())
    assert [sentence.tags for sentence in tags] == [["O", "O"], ["B-PER", "I-PER"]]
    (sentence,) = ConlluReader(path=write(empty), column="misc:Entity").read()
    assert (sentence.tags, sentence.spans) == (["O", "O"], None)
    (sentence,) = ConlluReader(path=write(empty), column="misc:Entity", labels="brackets").read()
    assert (sentence.tags, sentence.spans) == (None, [])
    plain = write(mentions("(e1-x-)"))
    assert next(ConlluReader(path=plain, column="misc:Entity", labels="tags").read()).tags == ["(e1-x-)"]
    with pytest.raises(ValidationError, match="needs a column of MISC"):
        ConlluReader(path="x", labels="brackets")


def test_mentions_on_empty_nodes(write):
    """A mention may begin or end at an empty node; one without any word is left out and counted."""
    content = (
        row("0.1", "x", misc="Entity=(e1-person-1-")
        + row(1, "a")
        + row(2, "b", misc="Entity=e1)(e2-place-1-")
        + row("2.1", "y", misc="Entity=e2)")
        + row("2.2", "z", misc="Entity=(e3-time-1-)")
    )
    result = statistics(ConlluReader(path=write(content), column="misc:Entity"))
    assert result["spans"] == {"person": 1, "place": 1, "time": 1}
    assert [item["line"] for item in result["unused"] if "`e3` (time) covers no word" in item["reason"]] == [
        5
    ]
    (sentence,) = ConlluReader(path=write(content), column="misc:Entity").read()
    assert sentence.spans == [Span(0, 2, "person"), Span(1, 2, "place")]


def test_discontinuous_mentions_are_counted(write):
    """Each is left out once, with the line of its first part."""
    content = mentions("(e1[1/2]-person-1-)", None, "(e1[2/2]-person-1-", "e1[2/2])(e2-place-1-)")
    result = statistics(ConlluReader(path=write(content), column="misc:Entity"))
    assert result["spans"] == {"person": 1, "place": 1}
    (item,) = result["unused"]
    assert (item["line"], "2 parts: discontinuous" in item["reason"]) == (1, True)


@pytest.mark.parametrize(
    ("cells", "line", "expected"),
    [
        (("(e1-a-", None), 1, "`(e1-a-` is not closed in its sentence"),
        ((None, "(e1-a-", "e2)"), 3, "`e2)` closes a mention that is not open"),
        (("(e1-a-)", "B-PER"), 2, "`B-PER` is not a bracketed label"),
    ],
)
def test_mentions_that_do_not_match(write, cells, line, expected):
    """The error names the line of the word."""
    path = write(mentions(*cells))
    assert expected in error_message(path, column="misc:Entity")
    assert f"{path}:{line}" in error_message(path, column="misc:Entity")


def test_misc_alone(write):
    """The tenth column may be a tag without a key, beside pairs with keys."""
    path = write(row(1, "Ada", misc="B-PER|SpaceAfter=No") + row(2, "Bell", misc="I-PER") + row(3, "sings"))
    (sentence,) = ConlluReader(path=path, column="misc").read()
    assert (sentence.tags, sentence.text) == (["B-PER", "I-PER", "O"], "AdaBell sings")
    assert statistics(ConlluReader(path=path, column="misc"))["spans"] == {"PER": 1}
    assert next(ConlluReader(path=path, column="misc", missing="X").read()).tags[2] == "X"
    (sentence,) = ConlluReader(path=write(row(1, "a", misc="(e1-x-)")), column="misc").read()
    assert sentence.spans == [Span(0, 1, "x")]
    path = write(row(1, "a") + row(2, "b", misc="B-PER|B-LOC"))
    assert f"{path}:2" in error_message(path, column="misc")


def test_labels_of_rows_that_are_not_words_are_reported(write):
    """A tag on a multi-word token or an empty node is not read, and not lost without a word."""
    content = (
        row("1-2", "du", misc="Ne=B-LOC") + row(1, "de") + row(2, "le", misc="Ne=B-PER") + row("2.1", "x")
    )
    (item,) = (
        item
        for item in statistics(ConlluReader(path=write(content), column="misc:Ne"))["unused"]
        if "the labels of 1 of them are not read" in item["reason"]
    )
    assert item["line"] == 1


@pytest.mark.parametrize(
    ("column", "key"), [("misc:entity", "Entity"), ("misc:Entitiy", "Entity"), ("feats:CASE", "Case")]
)
def test_a_misspelt_key_is_reported(write, column, key):
    """It would otherwise look like text without annotation; another key that no word has is no error."""
    (item,) = (
        item
        for item in statistics(ConlluReader(path=write(TREE), column=column))["unused"]
        if item["reason"].startswith("no word has the key")
    )
    assert item["reason"] == f"no word has the key {column}, but some have `{key}`"
    assert item["line"] == 4
    for known in ("misc:Entity", "misc:Gloss"):
        reports = statistics(ConlluReader(path=write(TREE), column=known))["unused"]
        assert not any("no word has" in item["reason"] for item in reports)
