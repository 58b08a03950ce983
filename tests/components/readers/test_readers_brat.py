"""The reader `brat`: character offsets in the raw text, one sentence per line, and reports of unused annotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sltk.components.readers.brat import BratReader
from sltk.components.splitters.whitespace import WhitespaceSplitter
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.types import Sentence, Span


@pytest.fixture
def pair(tmp_path: Path):
    """A function that writes a text and its annotations, and returns the path of the text."""

    def _pair(text: str, annotations: str, name: str = "doc") -> Path:
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8", newline="")
        path.with_suffix(".ann").write_text(annotations, encoding="utf-8", newline="")
        return path

    return _pair


def read(path: Path, **options: object) -> list[Sentence]:
    return list(BratReader(path=path, **options).read())


def error_message(path: Path, **options: object) -> str:
    """The error message of the reader."""
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return str(caught.value)


def test_a_line_is_a_sentence(pair):
    """Spans cover words of their line; lines without words are skipped; the document is the file's name."""
    text = "Ada met Bo.\n\nIn Oslo"
    path = pair(text, "T1\tPER 0 3\tAda\nT2\tPER 8 10\tBo\nT3\tLOC 16 20\tOslo\n")
    first, second = read(path)
    assert (first.words, first.spans) == (["Ada", "met", "Bo", "."], [Span(0, 1, "PER"), Span(2, 3, "PER")])
    assert (second.words, second.spans, second.text) == (["In", "Oslo"], [Span(1, 2, "LOC")], "In Oslo")
    assert (first.line, second.line, first.document) == (1, 3, "doc")
    assert read(path) == read(path.with_suffix(".ann"))


@pytest.mark.parametrize("parts", ["7 15", "7 10;11 15"])
def test_lines_that_a_span_crosses_are_joined(pair, parts):
    """Lines are joined if a span crosses them as a whole or in parts separated by white space."""
    path = pair("We saw New\nYork.\nBye.", f"T1\tLOC {parts}\tNew York\n")
    first, second = read(path)
    assert (first.text, first.spans) == ("We saw New\nYork.", [Span(2, 4, "LOC")])
    assert (second.words, second.line) == (["Bye", "."], 3)


def test_offsets_count_the_characters_of_the_file(pair):
    """Offsets count both characters of a line end and a byte-order mark; neither is part of a sentence."""
    path = pair("\ufeffAda\r\nBo\r\n", "T1\tPER 1 4\tAda\r\nT2\tPER 6 8\tBo\r\n")
    first, second = read(path)
    assert (first.text, second.text) == ("Ada", "Bo")
    assert first.spans == second.spans == [Span(0, 1, "PER")]
    assert "byte-order mark" in error_message(pair("\ufeffAda", "T1\tPER 0 3\tAda\n"))


def test_a_span_may_include_its_line_end(pair):
    """A span that includes its line end covers the same words."""
    first, second = read(pair("Ada\nBo", "T1\tPER 0 4\tAda \n"))
    assert (first.words, first.spans, second.words) == (["Ada"], [Span(0, 1, "PER")], ["Bo"])


def test_discontinuous_spans_are_counted_and_reported(pair):
    """A discontinuous span is not used but counted by stats, and does not join its lines."""
    path = pair("left and right ear\nhand", "T1\tORGAN 0 4;15 18\tleft ear\nT2\tORGAN 5 8;19 23\tand hand\n")
    first, _ = read(path)
    assert first.spans == []
    assert [(item.line, item.type) for item in first.unused] == [(1, "ORGAN"), (2, "ORGAN")]
    assert {item.file for item in first.unused} == {str(path.with_suffix(".ann"))}
    result = statistics(BratReader(path=path))
    assert (result["spans"], len(result["unused"])) == ({"ORGAN": 2}, 2)


def test_nested_and_overlapping_spans_are_all_counted(pair):
    """The reader yields all spans; training uses the longest, and lists the others."""
    path = pair("New York City Hall", "T1\tORG 0 18\tNew York City Hall\nT2\tLOC 0 13\tNew York City\n")
    assert statistics(BratReader(path=path))["spans"] == {"LOC": 1, "ORG": 1}
    data = load(BratReader(path=path), "IOB2")
    assert data.sentences[0].tags == ["B-ORG", "I-ORG", "I-ORG", "I-ORG"]
    assert ["`New York City` (LOC) overlaps" in item.reason for item in data.unused] == [True]


def test_other_annotation_is_counted_by_kind(pair):
    """Relations, events, attributes and notes are reported once per kind, with their first line."""
    others = "R1\tOf Arg1:T1 Arg2:T1\nA1\tNeg T1\nA2\tNeg T1\n#1\tNote T1\thm\n*\tEquiv T1 T1\nE1\tT1:T1\n"
    (sentence,) = read(pair("Ada", f"T1\tPER 0 3\tAda\n{others}\nN1\tRef T1 W:1\tAda\nM1\tSpec E1\n"))
    reported = [(item.line, item.reason.split(" ")[:2], item.type) for item in sentence.unused]
    assert reported == [
        (2, ["1", "relation(s)"], None),
        (3, ["2", "attribute(s)"], None),
        (5, ["1", "note(s)"], None),
        (6, ["1", "equivalence(s)"], None),
        (7, ["1", "event(s)"], None),
        (9, ["1", "normalization(s)"], None),
        (10, ["1", "modification(s)"], None),
    ]


def test_reports_of_an_empty_text_are_kept(pair):
    """An empty text with annotation yields an empty sentence that carries the report."""
    (sentence,) = read(pair("\n", "#1\tNote T1\thm\n"))
    assert (sentence.words, len(sentence.unused)) == ([], 1)


def test_a_folder_is_read_by_name(pair):
    """Documents are in natural order, including those of subfolders; texts without annotation are reported."""
    for name in ("10", "2", "b/1"):
        path = pair(f"Text {name[0]}", "", name)
    folder = path.parent.parent
    (folder / "README.txt").write_text("no annotations")
    result = read(folder)
    assert [sentence.document for sentence in result] == ["2", "10", "b/1"]
    assert [item.file for sentence in result for item in sentence.unused] == [str(folder / "README.txt")]


def test_misaligned_spans_are_reported_at_their_line(pair):
    """Misaligned spans are reported at their line in the annotation file."""
    path = pair("pizzas here", "\nT1\tFOOD 0 5\tpizza\n")
    assert read(path)[0].words == ["pizza", "s", "here"]
    (sentence,) = read(path, misaligned="skip")
    assert [(item.file, item.line) for item in sentence.unused] == [(str(path.with_suffix(".ann")), 2)]
    assert f"{path.with_suffix('.ann')}:2" in error_message(path, misaligned="error")


def test_the_splitter_is_an_option(pair):
    """The splitter `whitespace` keeps the words of tokenized text."""
    path = pair("can't stop !", "")
    (sentence,) = read(path, splitter=WhitespaceSplitter())
    assert sentence.words == ["can't", "stop", "!"]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("T1\tPER 0 2\tAda", "the text at [0, 2) is `Ad`, not `Ada`"),
        ("T1\tPER 0 99\tAda", "[0, 99) is not inside this text of 7 characters"),
        ("T1\tPER 0 3\t", "the text at [0, 3) is `Ada`, not ``"),
        ("T1\tPER 3 3\t", "[3, 3) is empty"),
        ("T1\tPER 4 7;0 3\tAda Bert", "the text at [4, 7); [0, 3) is `Bob Ada`, not `Ada Bert`"),
        ("T1\tPER 0\tAda", "expected `T1<tab>TYPE START END<tab>TEXT`, found `T1\tPER 0\tAda`"),
        ("T1\tPER 0 3 4 7\tAda Bob", "expected `T1<tab>TYPE START END<tab>TEXT`"),
        ("T1 PER 0 3 Ada", "expected `T1<tab>TYPE START END<tab>TEXT`"),
        ("T1\tPER -1 3\tAda", "expected `T1<tab>TYPE START END<tab>TEXT`"),
        ("Z1\tPER 0 3\tAda", "`Z1\tPER 0 3\tAda` is not an annotation of brat"),
    ],
)
def test_errors_name_the_line(pair, annotation, expected):
    """A line that is not an annotation, or not of this text, is an error with its line."""
    path = pair("Ada Bob", f"\n{annotation}\n")
    assert expected in error_message(path)
    assert f"{path.with_suffix('.ann')}:2" in error_message(path)


def test_a_quoted_line_end_continues_the_annotation(pair):
    """The text of a span may go on in the next lines; lines that do not belong to it are errors."""
    text, note = "We saw New\n\nYork City.\nBye.", "#1\tAnnotatorNotes T1\tsure\n"
    path = pair(text, f"T1\tLOC 7 21\tNew\n\nYork City\n{note}T2\tBYE 23 26\tBye\n")
    first, second = read(path)
    assert (first.spans, second.spans) == ([Span(2, 5, "LOC")], [Span(0, 1, "BYE")])
    assert read(pair(text, "T1\tLOC 7 21\tNew York City\n\n"))[0].spans == first.spans
    for tail in ("York Town", "York City\nmore"):
        path = pair(text, f"T1\tLOC 7 10\tNew\n{tail}\n")
        assert f"`{tail.split(chr(10))[0]}` is not an annotation" in error_message(path)
        (reported, *_), *_ = [sentence.unused for sentence in read(path, bad_annotation="skip")]
        assert reported.line == 2


@pytest.mark.parametrize("parts", ["0 9;11 20", "0 9;10 19", "0 20", "0 19"])
def test_a_carriage_return_in_a_quoted_text(pair, parts):
    """A quoted text may keep the carriage return of a line end, whether offsets count it or not."""
    path = pair("Date: Thu\r\nFrom: Ada\r\nBye", f"T1\tHEAD {parts}\tDate: Thu\r From: Ada\n")
    first, second = read(path)
    assert (first.spans, second.words) == ([Span(0, 6, "HEAD")], ["Bye"])


def test_an_annotation_of_blank_lines(pair):
    """An annotation of line ends covers no word, and is reported."""
    first, second = read(pair("One\n\n\nTwo", "T1\tGAP 3 5\t\n\n\nT2\tNUMBER 6 9\tTwo\n"))
    assert (first.spans, second.spans) == ([], [Span(0, 1, "NUMBER")])
    assert [(item.type, "covers no word" in item.reason) for item in first.unused] == [("GAP", True)]


@pytest.mark.parametrize(
    ("offsets", "quoted", "parts"),
    [
        ("9 12;0 8", "arm left leg", 1),
        ("9 12;0 8", "left leg arm", 1),
        ("0 8;5 12", "left leg leg arm", 1),
        ("0 8;5 12", "left leg arm", 1),
        ("9 12;0 4", "arm left", 2),
        ("9 12;0 4", "left arm", 2),
        ("0 4;2 4;9 12", "left ft arm", 2),
    ],
)
def test_fragments_in_any_order(pair, offsets, quoted, parts):
    """Fragments that are out of order or overlap are sorted and counted; contiguous ones are one span."""
    path = pair("left leg arm", f"T1\tBODY {offsets}\t{quoted}\n")
    (sentence,) = read(path)
    (report,) = sentence.unused
    assert "out of order or overlap" in report.reason
    assert (report.adjusted, report.type) == ((True, None) if parts == 1 else (False, "BODY"))
    assert sentence.spans == ([Span(0, 3, "BODY")] if parts == 1 else [])


BAD_LINES = [
    "T1\tPER 0 2\tAda",
    "T1\tPER 0 99\tAda",
    "T1\tPER 3 3\t",
    "T1\tPER 4 7;0 3\tAda Bert",
    "T1\tPER 0\tAda",
    "T1 PER 0 3 Ada",
    "Z1\tPER 0 3\tAda",
    "scribble",
]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_a_bad_annotation_may_be_left_out(pair, bad):
    """`bad_annotation: skip` reads the rest of the document, and lists the line with its problem."""
    path = pair("Ada Bob", f"T8\tPER 4 7\tBob\n{bad}\nT9\tPER 0 3\tAda\n")
    assert f"{path.with_suffix('.ann')}:2" in error_message(path)
    (sentence,) = read(path, bad_annotation="skip")
    assert sorted(sentence.spans) == [Span(0, 1, "PER"), Span(1, 2, "PER")]
    ((file, line, reason),) = [(item.file, item.line, item.reason) for item in sentence.unused]
    assert (file, line) == (str(path.with_suffix(".ann")), 2)
    assert reason.startswith("left out: ")


def test_missing_files_are_named(pair, tmp_path):
    """A missing text, missing annotations, a folder without either, and a file of another kind are errors."""
    path = pair("Ada", "")
    path.with_suffix(".ann").unlink()
    assert "doc.ann" in error_message(path)
    assert "no `.ann` file in this folder" in error_message(tmp_path)
    path.rename(tmp_path / "doc.ann")
    assert "doc.txt" in error_message(tmp_path)
    assert "ends in .txt or .ann" in error_message(tmp_path / "doc.json")


def test_the_annotated_abstracts(corpora):
    """All annotated spans of four real documents are counted and used."""
    result = statistics(BratReader(path=corpora / "brat"))
    lines = [
        line
        for path in (corpora / "brat").glob("*.ann")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    spans = sum(line.startswith("T") for line in lines)
    assert (result["documents"], result["spans"]) == (4, {"Disease": spans})
    assert spans == 64
    reports = [item["reason"] for item in result["unused"]]
    assert sum(int(reason.split()[0]) for reason in reports) == len(lines) - spans


@pytest.mark.parametrize("pattern", ["*.ann", "*.txt", "*", "**/*.ann"])
def test_patterns(tmp_path, pattern):
    """A pattern selects documents by their texts or their annotations; hidden files are left out."""
    for name in ("doc2", "doc10", ".doc3"):
        (tmp_path / f"{name}.txt").write_text(f"{name.strip('.')}\n")
        (tmp_path / f"{name}.ann").write_text("T1\tX 0 4\tdoc" + name.strip(".")[3] + "\n")
    (tmp_path / "bare.txt").write_text("none\n")
    sentences = list(BratReader(path=tmp_path / pattern).read())
    assert [each.document for each in sentences] == ["doc2", "doc10"]
    reported = [
        item.file for each in sentences for item in each.unused if "no annotation file" in item.reason
    ]
    assert reported == ([] if pattern.endswith(".ann") else [str(tmp_path / "bare.txt")])
    with pytest.raises(DataError, match="for this pattern"):
        list(BratReader(path=tmp_path / "b*.txt").read())
