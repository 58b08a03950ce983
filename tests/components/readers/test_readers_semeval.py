"""Readers of SemEval's XML: aspect terms of 2014, opinion targets of 2015 and 2016."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reading import error_message
from sltk.cli import main
from sltk.components.readers.semeval14 import SemEval14Reader
from sltk.components.readers.semeval15 import SemEval15Reader, SemEval16Reader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.types import Sentence

BROTH = '<Opinion target="broth" category="FOOD#QUALITY" polarity="positive" from="7" to="12"/>'
BROTH_PRICE = '<Opinion target="broth" category="FOOD#PRICES" polarity="positive" from="7" to="12"/>'
BROTH_BAD = '<Opinion target="broth" category="FOOD#STYLE" polarity="negative" from="7" to="12"/>'
WAITER = '<Opinion target="waiter" category="SERVICE#GENERAL" polarity="negative" from="19" to="25"/>'
NULL = '<Opinion target="NULL" category="RESTAURANT#GENERAL" polarity="neutral" from="0" to="0"/>'
LAPTOP = '<Opinion category="LAPTOP#GENERAL" polarity="positive"/>'
TEXT = "<text>Lovely broth, rude waiter.</text>"


def sentence(opinions: str = "", text: str = TEXT, attributes: str = "") -> str:
    inner = f"<Opinions>{opinions}</Opinions>" if opinions else ""
    return f'<sentence id="7:0" {attributes}>\n{text}{inner}</sentence>\n'


def review(*sentences: str, rid: str = "7", after: str = "") -> str:
    return f'<Review rid="{rid}"><sentences>\n{"".join(sentences)}</sentences>{after}</Review>\n'


def put(folder: Path, *reviews: str) -> Path:
    path = folder / "reviews.xml"
    path.write_text(f'<?xml version="1.0"?>\n<Reviews>\n{"".join(reviews)}</Reviews>\n', encoding="utf-8")
    return path


def spans_of(each: Sentence) -> list[tuple[str, str]]:
    return [(" ".join(each.words[s.start : s.end]), s.type) for s in each.spans or ()]


def reasons(each: Sentence) -> list[str]:
    return [item.reason for item in each.unused]


@pytest.mark.parametrize("reader", [SemEval15Reader, SemEval16Reader])
def test_targets_are_spans(reader: type[SemEval15Reader], tmp_path: Path) -> None:
    """Targets are spans with their polarity, and a review is a document."""
    path = put(
        tmp_path,
        review(sentence(BROTH + WAITER), sentence()),
        review(sentence(text="<text>Fine.</text>"), rid="8"),
    )
    read = list(reader(path=path).read())
    assert [spans_of(each) for each in read] == [[("broth", "positive"), ("waiter", "negative")], [], []]
    assert [(each.document, each.line) for each in read] == [("7", 4), ("7", 6), ("8", 10)]
    assert read[0].text == "Lovely broth, rude waiter."
    assert all(each.unused == () for each in read)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("polarity", [("broth", "positive"), ("waiter", "negative")]),
        ("category", [("broth", "FOOD#QUALITY"), ("waiter", "SERVICE#GENERAL")]),
        ("both", [("broth", "FOOD#QUALITY:positive"), ("waiter", "SERVICE#GENERAL:negative")]),
        ("target", [("broth", "target"), ("waiter", "target")]),
    ],
)
def test_the_type_is_an_option(types: Any, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    """The type is the polarity, the category, both, or only that there is a target."""
    (read,) = SemEval15Reader(path=put(tmp_path, review(sentence(BROTH + WAITER))), types=types).read()
    assert spans_of(read) == expected


@pytest.mark.parametrize("opinion", [NULL, LAPTOP, '<Opinion target="NULL" category="RESTAURANT#GENERAL"/>'])
def test_opinions_without_a_target_are_counted(opinion: str, tmp_path: Path) -> None:
    """An opinion whose target is `NULL` or absent is no span; it is reported with its line."""
    path = put(tmp_path, review(sentence(BROTH + "\n" + opinion)))
    (read,) = SemEval15Reader(path=path).read()
    assert spans_of(read) == [("broth", "positive")]
    assert [(item.line, item.type, item.adjusted) for item in read.unused] == [(6, None, False)]
    assert reasons(read)[0].startswith("an opinion without a target (")
    counts = statistics(SemEval15Reader(path=path))
    assert counts["spans"] == {"positive": 1}
    assert len(counts["unused"]) == 1


def test_the_word_null_can_be_a_target(tmp_path: Path) -> None:
    """`NULL` at offsets of the text is a span."""
    opinion = '<Opinion target="NULL" category="A#B" polarity="positive" from="0" to="4"/>'
    (read,) = SemEval15Reader(
        path=put(tmp_path, review(sentence(opinion, "<text>NULL is a bar</text>")))
    ).read()
    assert spans_of(read) == [("NULL", "positive")]


def test_repeated_opinions_are_one_span(tmp_path: Path) -> None:
    """Opinions of one target and one type are one span, which is counted; with other types they are two."""
    path = put(tmp_path, review(sentence(BROTH + BROTH_PRICE + WAITER)))
    (read,) = SemEval15Reader(path=path).read()
    assert spans_of(read) == [("broth", "positive"), ("waiter", "negative")]
    assert reasons(read) == ["`broth` (positive) has 2 opinions of this type: one span"]
    assert read.unused[0].adjusted
    (read,) = SemEval15Reader(path=path, types="category").read()
    assert spans_of(read) == [
        ("broth", "FOOD#QUALITY"),
        ("broth", "FOOD#PRICES"),
        ("waiter", "SERVICE#GENERAL"),
    ]


def test_a_repeated_opinion_with_another_text_is_an_error(tmp_path: Path) -> None:
    """The text that an opinion repeats is compared, also if there is another opinion at these offsets."""
    path = put(tmp_path, review(sentence(BROTH + BROTH_PRICE.replace("broth", "soup"))))
    assert "is `broth`, not `soup`" in error_message(SemEval15Reader(path=path))


def test_conflicting_types_are_counted(tmp_path: Path) -> None:
    """Of opinions of one target with several types one is used, first in the alphabet, and the others are reported."""
    path = put(tmp_path, review(sentence(BROTH + BROTH_BAD + WAITER)))
    data = load(SemEval15Reader(path=path), "IOB2")
    assert [span.type for span in next(iter(data)).spans or ()] == ["negative", "negative"]
    assert [item.type for item in data.unused] == ["positive"]
    assert statistics(SemEval15Reader(path=path))["spans"] == {"negative": 2, "positive": 1}


def test_sentences_out_of_scope(tmp_path: Path) -> None:
    """A sentence marked `OutOfScope` is left out and counted, or read as a sentence without a target."""
    marked = sentence(attributes='OutOfScope="TRUE"')
    path = put(tmp_path, review(marked, sentence(BROTH), marked), review(marked, rid="8"))
    (read,) = SemEval16Reader(path=path).read()
    assert spans_of(read) == [("broth", "positive")]
    assert [item.line for item in read.unused] == [4, 8, 12]
    assert set(reasons(read)) == {"left out: this sentence is marked `OutOfScope`"}
    kept = list(SemEval16Reader(path=path, out_of_scope="outside").read())
    assert [spans_of(each) for each in kept] == [[], [("broth", "positive")], [], []]
    assert all(each.unused == () for each in kept)


def test_a_file_without_a_sentence_in_scope_still_reports(tmp_path: Path) -> None:
    """Reports are not lost if every sentence is left out."""
    path = put(tmp_path, review(sentence(attributes='OutOfScope="TRUE"')))
    (read,) = SemEval16Reader(path=path).read()
    assert (read.words, len(read.unused)) == ([], 1)


def test_marked_sentences_with_opinions_are_read(tmp_path: Path) -> None:
    """A sentence marked `OutOfScope` that has opinions all the same is not left out."""
    path = put(tmp_path, review(sentence(BROTH, attributes='OutOfScope="TRUE"')))
    (read,) = SemEval16Reader(path=path).read()
    assert spans_of(read) == [("broth", "positive")]


def test_opinions_of_whole_reviews_are_counted(tmp_path: Path) -> None:
    """Opinions about a whole review (SemEval-2016, second subtask) are reported with their line."""
    after = '<Opinions>\n<Opinion category="FOOD#QUALITY" polarity="positive"/></Opinions>'
    (read,) = SemEval16Reader(path=put(tmp_path, review(sentence(BROTH), after=after))).read()
    assert [item.line for item in read.unused] == [7]
    assert 'about the whole `Review` (category="FOOD#QUALITY" polarity="positive")' in reasons(read)[0]


SEMEVAL14 = (
    '<sentences><sentence id="1"><text>Soup was good.</text><aspectTerms>\n'
    '<aspectTerm term="Soup" polarity="positive" from="0" to="4"/></aspectTerms></sentence></sentences>'
)


def test_the_readers_name_each_other(tmp_path: Path) -> None:
    """A file of another year is an error that names its reader, and not a file without annotation."""
    error = error_message(SemEval14Reader(path=put(tmp_path, review(sentence(BROTH)))))
    assert "`Reviews` is not of this format: the reader `semeval15` reads it" in error
    path = tmp_path / "14.xml"
    path.write_text(SEMEVAL14)
    for reader in (SemEval15Reader, SemEval16Reader):
        error = error_message(reader(path=path))
        assert "`aspectTerms` is not of this format: the reader `semeval14` reads it" in error


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("aspectTerms>", "AspectTerms>", "unknown element `AspectTerms`"),
        ("<aspectTerm ", "<term ", "unknown element `term`"),
        (' term="', ' target="', "this `aspectTerm` has no `term`"),
        ("polarity=", "Polarity=", "did you mean `Polarity`?"),
        ('from="0"', 'start="0"', "its attributes: term, polarity, start, to"),
        ('from="0"', 'from="zero"', "`from` and `to` of `Soup` are not whole numbers"),
        ("<aspectTerms>", "</sentence><aspectTerms><sentence>", "mismatched tag"),
        ("Soup was", "Soup <text>was", "`text` is inside a `text`"),
        ("<text>", "<text>a</text><text>", "a second `text`"),
    ],
)
def test_unknown_structure_is_an_error(old: str, new: str, message: str, tmp_path: Path) -> None:
    """A misnamed element or attribute is an error, and not a file without annotation."""
    path = tmp_path / "14.xml"
    path.write_text(SEMEVAL14.replace(old, new))
    error = error_message(SemEval14Reader(path=path))
    assert message in error
    assert f"{path}:" in error


@pytest.mark.parametrize("names", [("Reviews", "corpus"), ("Review", "item"), ("Reviews", "reviews")])
def test_other_elements_around_sentences(names: tuple[str, str], tmp_path: Path) -> None:
    """Unknown elements around sentences hold no annotation, so they are accepted."""
    path = put(tmp_path, review(sentence(BROTH)))
    path.write_text(re.sub(rf"{names[0]}\b", names[1], path.read_text()))
    (read,) = SemEval15Reader(path=path).read()
    assert spans_of(read) == [("broth", "positive")]


def test_elements_between_sentences_are_counted(tmp_path: Path) -> None:
    """An unknown element without a sentence in it is reported, because it may be annotation."""
    path = put(tmp_path, review(sentence(BROTH), "<meta>\n<author/></meta>", sentence()))
    one, two = SemEval15Reader(path=path).read()
    assert one.unused == ()
    assert [(item.line, item.reason) for item in two.unused] == [
        (7, "not read: an unknown element `author`"),
        (6, "not read: an unknown element `meta`"),
    ]


@pytest.mark.parametrize(
    ("opinion", "message"),
    [
        (BROTH.replace(' from="7"', ""), "this `Opinion` has no `from`; its attributes"),
        (BROTH.replace("target", "term"), "this `Opinion` has no `target`"),
        (BROTH.replace("polarity", "sentiment"), "this `Opinion` has no `polarity`"),
        (BROTH.replace("broth", "soup"), "is `broth`, not `soup`"),
        (BROTH.replace("12", "99"), "not inside this text of 26 characters"),
        (BROTH.replace('"7"', '"seven"'), "are not whole numbers"),
        ("<Opinions/>", ""),
        ("<opinion/>", "did you mean `Opinion`?"),
    ],
)
def test_malformed_opinions(opinion: str, message: str, tmp_path: Path) -> None:
    """A malformed opinion is an error with its line, or is left out and counted with `bad_annotation: skip`."""
    path = put(tmp_path, review(sentence(WAITER + opinion)))
    if not message:
        assert len(list(SemEval15Reader(path=path).read())) == 1
        return
    error = error_message(SemEval15Reader(path=path))
    assert message.split("; ")[0] in error
    assert f"{path}:5" in error
    if "opinion/" not in opinion:
        (read,) = SemEval15Reader(path=path, bad_annotation="skip").read()
        assert spans_of(read) == [("waiter", "negative")]
        assert len(read.unused) == 1


def test_the_command_line_reads_all_years(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stats` counts targets, and `convert` writes them."""
    path = put(tmp_path, review(sentence(BROTH + NULL)))
    assert main(["stats", str(path), "--reader", "semeval16", "--option", "types=both"]) == 0
    assert "FOOD#QUALITY:positive" in capsys.readouterr().out
    assert main(["convert", str(path), "-", "--reader", "semeval15", "--writer", "conll"]) == 0
    assert "broth\tB-positive\n" in capsys.readouterr().out
    assert main(["stats", str(path), "--reader", "semeval14"]) == 2
    assert "the reader `semeval15` reads it" in capsys.readouterr().err
