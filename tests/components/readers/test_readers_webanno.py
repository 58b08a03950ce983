"""The reader of WebAnno TSV 3: layers, features, stacked and multi-token spans, parts of tokens, escapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk.cli import main
from sltk.components.readers.webanno import WebAnnoReader
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.types import Sentence

ENTITY = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
POS = "de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS"
HEADER = f"#FORMAT=WebAnno TSV 3.3\n#T_SP={ENTITY}|identifier|value\n\n\n"


def put(folder: Path, text: str) -> Path:
    path = folder / "doc.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def rows(*cells: tuple[str, str], sentence: int = 1, begin: int = 0) -> str:
    """A sentence of words with one space between them; a cell is that of the feature `value`."""
    text, lines = " ".join(word for word, _ in cells), []
    for number, (word, cell) in enumerate(cells, 1):
        end = begin + len(word.encode("utf-16-le")) // 2
        lines.append(f"{sentence}-{number}\t{begin}-{end}\t{word}\t_\t{cell}\t\n")
        begin = end + 1
    return f"#Text={text}\n" + "".join(lines)


def spans_of(each: Sentence) -> list[tuple[str, str]]:
    return [(" ".join(each.words[s.start : s.end]), s.type) for s in each.spans or ()]


def read(path: Path, **options: Any) -> list[Sentence]:
    return list(WebAnnoReader(path=path, **options).read())


def error_message(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return str(caught.value)


def test_sentences_and_spans(tmp_path: Path) -> None:
    """Words are the tokens; a span has one token, or the tokens of one number."""
    first = rows(("Ms.", "_"), ("Vera", "PER[1]"), ("Haag", "PER[1]"), ("sings", "_"))
    second = rows(("Graz", "LOC"), ("Turku", "LOC"), sentence=2, begin=19)
    one, two = read(put(tmp_path, f"{HEADER}{first}\n{second}"))
    assert one.words == ["Ms.", "Vera", "Haag", "sings"]
    assert spans_of(one) == [("Vera Haag", "PER")]
    assert spans_of(two) == [("Graz", "LOC"), ("Turku", "LOC")]
    assert (one.text, one.line, one.document, one.unused) == ("Ms. Vera Haag sings", 5, "1", ())
    assert (two.text, two.line, two.unused) == ("Graz Turku", 11, ())


def test_stacked_spans_overlap(tmp_path: Path) -> None:
    """A cell may hold several spans, of one or more tokens; all of them are counted."""
    path = put(tmp_path, HEADER + rows(("Bank", "ORG[1]"), ("of", "ORG[1]"), ("Graz", "ORG[1]|LOC[2]|CITY")))
    (sentence,) = read(path)
    assert sorted(spans_of(sentence)) == [("Bank of Graz", "ORG"), ("Graz", "CITY"), ("Graz", "LOC")]
    assert statistics(WebAnnoReader(path=path))["spans"] == {"CITY": 1, "LOC": 1, "ORG": 1}


def test_reserved_characters_are_unescaped(tmp_path: Path) -> None:
    """A backslash makes the character after it part of the value, and in the text it marks tabs and line ends."""
    cells = [("a[1]|b", r"x\|y\[1\]\_\\[7]"), ("_", r"\*"), ("c", r"\->\;\t")]
    (sentence,) = read(put(tmp_path, HEADER + rows(*cells)))
    assert spans_of(sentence) == [("a[1]|b", r"x|y[1]_" "\\"), ("_", "*"), ("c", "->;\t")]
    text = "#Text=a\\tb \\\\ \\u00e9 \\ud83d\\ude42\n"
    lines = "1-1\t0-1\ta\t_\t_\t\n1-2\t2-3\tb\t_\t_\t\n1-3\t4-5\t\\\t_\t_\t\n1-4\t6-7\té\t_\t_\t\n"
    lines += "1-5\t8-10\t🙂\t_\tSMILE\t\n"
    (sentence,) = read(put(tmp_path, HEADER + text + lines))
    assert (sentence.text, sentence.words) == ("a\tb \\ é 🙂", ["a", "b", "\\", "é", "🙂"])
    assert (spans_of(sentence), sentence.unused) == ([("🙂", "SMILE")], ())


def test_offsets_count_utf16_units(tmp_path: Path) -> None:
    """Characters beyond 16 bits count two; files that count characters are read too."""
    cells = [("🙂🙂", "_"), ("Vera", "PER")]
    (sentence,) = read(put(tmp_path, HEADER + rows(*cells, begin=40)))
    assert (sentence.offsets, sentence.unused) == ([(0, 2), (3, 7)], ())
    text = "#Text=🙂 Vera\n1-1\t0-1\t🙂\t_\t_\n1-2\t2-6\tVera\t_\tPER\n"
    (sentence,) = read(put(tmp_path, HEADER + text))
    assert (sentence.offsets, spans_of(sentence)) == ([(0, 1), (2, 6)], [("Vera", "PER")])


@pytest.mark.parametrize(
    ("misaligned", "words", "spans", "reports"),
    [
        ("split", ["pre", "-war", "Graz"], [("pre", "TIME"), ("-war Graz", "LOC")], 2),
        ("widen", ["pre-war", "Graz"], [("pre-war", "TIME"), ("pre-war Graz", "LOC")], 2),
        ("skip", ["pre-war", "Graz"], [], 2),
    ],
)
def test_parts_of_tokens(
    misaligned: str, words: list[str], spans: list[tuple[str, str]], reports: int, tmp_path: Path
) -> None:
    """A span of a part of a token is treated as `misaligned` says."""
    text = (
        "#Text=pre-war Graz\n1-1\t0-7\tpre-war\t_\t_\t\n1-1.1\t0-3\tpre\t_\tTIME\t\n"
        "1-1.2\t3-7\t-war\t_\tLOC[3]\t\n1-2\t8-12\tGraz\t_\tLOC[3]\t\n"
    )
    (sentence,) = read(put(tmp_path, HEADER + text), misaligned=misaligned)
    assert (sentence.words, spans_of(sentence)) == (words, spans)
    assert len(sentence.unused) == reports


def test_sentences_that_a_span_crosses_are_joined(tmp_path: Path) -> None:
    """A span that goes on in the next sentence joins the two."""
    first = rows(("in", "_"), ("New", "LOC[4]"))
    second = rows(("York", "LOC[4]"), ("today", "_"), sentence=2, begin=7)
    third = rows(("Bye", "_"), sentence=3, begin=18)
    one, two = read(put(tmp_path, f"{HEADER}{first}\n{second}\n{third}"))
    assert (one.text, spans_of(one)) == ("in New\nYork today", [("New York", "LOC")])
    assert two.words == ["Bye"]


LAYERS = (
    f"#FORMAT=WebAnno TSV 3.2\n#T_SP={POS}|PosValue\n#T_SP=webanno.custom.Flag|\n"
    "#T_SP=webanno.custom.Frame|lu|ROLE_webanno.custom.Frame:Roles_webanno.custom.RolesLink|webanno.custom.Arg\n"
    "#T_CH=de.tudarmstadt.ukp.dkpro.core.api.coref.type.CoreferenceLink|referenceRelation|referenceType\n"
    f"#T_RL=webanno.custom.Relation|kind|BT_{ENTITY}\n#T_SP={ENTITY}|identifier|value\n\n\n"
    "#Text=Vera sings\n"
    "1-1\t0-4\tVera\tNOUN\t*\t_\t_\t_\t*->1-1\tPER[1]\t_\t_\tQ1\tPER\t\n"
    "1-2\t5-10\tsings\tVERB\t_\tsing\tAgent;Time\t1-1;1-1\t_\t_\tof\t1-1\t_\t_\t\n"
)


@pytest.mark.parametrize(
    ("options", "spans"),
    [
        ({"layer": "NamedEntity"}, [("Vera", "PER")]),
        ({"layer": ENTITY}, [("Vera", "PER")]),
        ({"layer": "NamedEntity", "feature": "identifier"}, [("Vera", "Q1")]),
        ({"layer": "POS"}, [("Vera", "NOUN"), ("sings", "VERB")]),
        ({"layer": "Flag"}, [("Vera", "Flag")]),
        ({"layer": "Frame"}, [("sings", "sing")]),
    ],
)
def test_layer_and_feature_are_options(
    options: dict[str, str], spans: list[tuple[str, str]], tmp_path: Path
) -> None:
    """A layer is chosen by its full name or the last part of it; links, chains and relations take their columns."""
    (sentence,) = read(put(tmp_path, LAYERS), **options)
    assert (spans_of(sentence), sentence.unused) == (spans, ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "this file has 4 layers of spans: choose one with `layer`"),
        ({}, "`POS` (PosValue), `Flag` (no feature), `Frame` (lu), `NamedEntity` (identifier, value)"),
        ({"layer": "NamedEntities"}, "did you mean `NamedEntity`?"),
        ({"layer": "Relation"}, "this file has no layer of spans `Relation`"),
        ({"layer": "NamedEntity", "feature": "Value"}, "layer `NamedEntity` has no feature `Value`"),
        ({"layer": "Flag", "feature": "value"}, "its features: none"),
    ],
)
def test_unknown_layers_and_features(options: dict[str, str], message: str, tmp_path: Path) -> None:
    """An error lists the layers with their features."""
    assert message in error_message(put(tmp_path, LAYERS), **options)


def test_several_features_need_a_choice(tmp_path: Path) -> None:
    """Without `value`, a feature must be chosen."""
    path = put(tmp_path, LAYERS.replace("identifier|value", "who|kind"))
    assert "several features: choose one with `feature`" in error_message(path, layer="NamedEntity")


def test_layers_of_one_name(tmp_path: Path) -> None:
    """Layers that differ only in the beginning of their names need the full name."""
    path = put(tmp_path, LAYERS.replace("custom.Flag", "custom.NamedEntity"))
    assert "several layers are called `NamedEntity`: webanno.custom" in error_message(
        path, layer="NamedEntity"
    )


def test_a_file_without_layers_is_not_annotated(tmp_path: Path) -> None:
    """Exports omit layers without annotation, so a file without layers is text without annotation."""
    (sentence,) = read(
        put(tmp_path, "#FORMAT=WebAnno TSV 3.3\n\n\n#Text=Hi\n1-1\t0-2\tHi\t\n"), layer="NamedEntity"
    )
    assert (sentence.words, sentence.spans) == (["Hi"], None)


@pytest.mark.parametrize(
    ("cells", "spans", "reason"),
    [
        ([("Vera", "*"), ("Haag", "PER")], [("Haag", "PER")], "`Vera` has no value that could be its type"),
        (
            [("Vera", "PER[1]"), ("x", "_"), ("Haag", "PER[1]")],
            [],
            "`Vera x Haag` (PER) has 2 parts: discontinuous",
        ),
        ([("Vera", "PER[1]"), ("Haag", "LOC[1]")], [], "has several types: PER, LOC"),
    ],
)
def test_spans_that_cannot_be_used_are_reported(
    cells: list[tuple[str, str]], spans: list[tuple[str, str]], reason: str, tmp_path: Path
) -> None:
    """A span without a value, with words between its parts or with several types is reported with its line."""
    (sentence,) = read(put(tmp_path, HEADER + rows(*cells)))
    assert spans_of(sentence) == spans
    assert [item.line for item in sentence.unused] == [6]
    assert reason in sentence.unused[0].reason


@pytest.mark.parametrize(
    ("text", "is_used"),
    [("#Text=Vera  Haag\n", True), ("#Text=Vera\n#Text=Haag\n", True), ("#Text=Kai\n", False), ("", False)],
)
def test_texts_that_differ_from_the_words(text: str, is_used: bool, tmp_path: Path) -> None:
    """Words are searched in a text where they are not at their offsets; a text without them is not used."""
    words = "1-1\t0-4\tVera\t_\tPER[1]\t\n1-2\t5-9\tHaag\t_\tPER[1]\t\n"
    (sentence,) = read(put(tmp_path, HEADER + text + words))
    assert spans_of(sentence) == [("Vera Haag", "PER")]
    assert (sentence.text is not None) == is_used
    assert [item.adjusted for item in sentence.unused] == [True] * (text[6:] in ("Vera  Haag\n", "Kai\n"))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (
            "#FORMAT=WebAnno TSV 2\n",
            1,
            "expected a header that begins with `#FORMAT=WebAnno TSV 3.…`, found `#FORMAT=WebAnno TSV 2`",
        ),
        ("1-1\t0-2\tHi\t_\n", 1, "expected a header that begins with `#FORMAT=WebAnno TSV 3.…`"),
        (HEADER + "#Text=Hi\n1-1\t0-2\tHi\tPER\t\n", 6, "column 5 of 5 is empty"),
        (HEADER + "#Text=Hi\n1-1\t0-2\tHi\t_\t_\t_\t\n", 6, "expected 5 columns separated by tabs, found 7"),
        (HEADER + "#Text=Hi\n1\t0-2\tHi\t_\t_\t\n", 6, "expected an id `1-2` or `1-2.1`"),
        (HEADER + "#Text=Hi\n1-1\t0:2\tHi\t_\t_\t\n", 6, "offsets `0-4`, found `1-1` and `0:2`"),
        (HEADER + "#Text=Hi\n1-1\t0-2\t\t_\t_\t\n", 6, "column 3 of 5 is empty"),
        (HEADER + "#Text=Hi\n1-1.1\t0-2\tHi\t_\t_\t\n", 6, "there is no token before it"),
        (
            HEADER + "#Text=Hi\n1-1\t0-2\tHi\t_\t_\t\n1-1.1\t0-1\ti\t_\tX\t\n",
            7,
            "`i` is not at these offsets of `Hi`",
        ),
        (HEADER + "#Text=Hi\n", 5, "the sentence at the end of the file has no tokens"),
    ],
)
def test_malformed_files(content: str, line: int, message: str, tmp_path: Path) -> None:
    """A malformed file is an error with its line."""
    path = put(tmp_path, content)
    error = error_message(path)
    assert f"{path}:{line}\n" in f"{error}\n"
    assert message in error


TYPES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=6
)
TOKENS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=5)
_RESERVED = ("\\", "[", "]", "|", "_", "->", ";", "\t", "\n", "*")


def escaped(value: str) -> str:
    """A value as WebAnno writes it."""
    for each in _RESERVED:
        value = value.replace(each, f"\\{each}")
    return value


@given(
    words=st.lists(TOKENS, min_size=1, max_size=6),
    types=st.lists(TYPES, min_size=1, max_size=4),
    is_escaped=st.booleans(),
    data=st.data(),
)
@settings(max_examples=100)
def test_any_spans_are_read(
    words: list[str], types: list[str], is_escaped: bool, data: st.DataObject, tmp_path_factory: Any
) -> None:
    """Spans with any types over any words, nested and stacked, are read back; the text may be escaped."""
    places = st.tuples(st.integers(0, len(words) - 1), st.integers(0, len(words) - 1))
    spans = [(*sorted(data.draw(places)), kind) for kind in types]
    cells = [
        "|".join(
            f"{escaped(kind)}[{number}]"
            for number, (first, last, kind) in enumerate(spans)
            if first <= n <= last
        )
        for n in range(len(words))
    ]
    text = rows(*[(word, cell or "_") for word, cell in zip(words, cells, strict=True)])
    if is_escaped:
        text = text.replace(text.split("\n")[0], "#Text=" + " ".join(words).replace("\\", "\\\\"), 1)
    path = put(tmp_path_factory.mktemp("webanno"), HEADER + text)
    (sentence,) = read(path)
    assert sentence.words == words
    assert sentence.text == " ".join(words)
    assert sorted((span.start, span.end - 1, span.type) for span in sentence.spans or ()) == sorted(spans)


def test_misplaced_parts_may_be_left_out(tmp_path: Path) -> None:
    """A part that is not in its token is an error, or is left out and counted."""
    text = HEADER + rows(("Vera", "PER")) + "1-1.1\t0-1\tX\t_\tLETTER\t\n"
    assert "`bad_annotation: skip` leaves such" in error_message(put(tmp_path, text))
    (sentence,) = read(put(tmp_path, text), bad_annotation="skip")
    assert (spans_of(sentence), [item.line for item in sentence.unused]) == ([("Vera", "PER")], [7])


def test_tokens_of_white_space_are_no_words(tmp_path: Path) -> None:
    """A token of white space is not a word; a span over it has the words around it."""
    text = "#Text=a b\n1-1\t0-1\ta\t_\tX[1]\t\n1-2\t1-2\t \t_\tX[1]\t\n1-3\t2-3\tb\t_\tX[1]\t\n"
    (sentence,) = read(put(tmp_path, HEADER + text))
    assert (sentence.words, spans_of(sentence), sentence.unused) == (["a", "b"], [("a b", "X")], ())


def test_text_outside_the_tokens_is_counted(tmp_path: Path) -> None:
    """Text that no token has is no word, which is reported."""
    (sentence,) = read(put(tmp_path, HEADER + rows(("Vera", "PER")).replace("#Text=Vera", "#Text=Vera Haag")))
    assert (sentence.words, sentence.text) == (["Vera"], "Vera Haag")
    assert [item.reason for item in sentence.unused] == ["4 characters are in no token, such as `Haag`"]


@pytest.mark.parametrize("text", ["#Text=a_b *\n", "#Text=a_b  *\n", ""])
def test_words_may_be_escaped(text: str, tmp_path: Path) -> None:
    """The text of the file decides, and its words may be escaped like values."""
    words = "1-1\t0-3\ta\\_b\t_\tX\t\n1-2\t4-5\t\\*\t_\t_\t\n"
    (sentence,) = read(put(tmp_path, HEADER + text + words))
    assert sentence.words == (["a_b", "*"] if text else ["a\\_b", "\\*"])


def test_joined_files_are_several_documents(tmp_path: Path) -> None:
    """A second header begins another document, with other layers, whose numbers mean other spans."""
    first = HEADER + rows(("Vera", "PER[1]"))
    second = "#FORMAT=WebAnno TSV 3.2\n#T_SP=b.Name|value\n\n#Text=Kai\n1-1\t0-3\tKai\tPER[1]\t\n"
    one, two = read(put(tmp_path, f"{first}\n{second}"))
    assert [spans_of(each) for each in (one, two)] == [[("Vera", "PER")], [("Kai", "PER")]]
    assert [each.document for each in (one, two)] == ["1", "2"]


def test_a_folder_of_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of files is one corpus, in which each file is a document."""
    for name in ("a.tsv", "b.tsv"):
        (tmp_path / name).write_text(HEADER + rows(("Vera", "PER")), encoding="utf-8")
    assert len({sentence.document for sentence in read(tmp_path)}) == 2
    assert main(["stats", str(tmp_path), "--reader", "webanno"]) == 0
    assert "PER" in capsys.readouterr().out
