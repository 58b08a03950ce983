"""Readers of character offsets: SemEval-2014 XML and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reading import error_message
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.offsets import CharSpan, annotated_sentence
from sltk.components.readers.semeval14 import SemEval14Reader
from sltk.components.splitters import RegexSplitter, WhitespaceSplitter
from sltk.components.writers import JsonlWriter
from sltk.types import Prediction, Sentence, Span


def xml(tmp_path: Path, *sentences: str, head: str = "") -> Path:
    """A file with one sentence per line from line 3 (line 2 is `head`)."""
    path = tmp_path / "reviews.xml"
    path.write_text(
        '<?xml version="1.0"?>\n' + head + "<sentences>\n" + "\n".join(sentences) + "\n</sentences>\n"
    )
    return path


def review(text: str, *terms: tuple[str, int, int, str]) -> str:
    items = "".join(
        f'<aspectTerm term={quoteattr(term)} polarity="{polarity}" from="{start}" to="{end}"/>'
        for term, start, end, polarity in terms
    )
    return (
        f"<sentence id='1'><text>{escape(text)}</text>"
        + (f"<aspectTerms>{items}</aspectTerms>" if items else "")
        + "</sentence>"
    )


def spans_of(sentence: Sentence) -> list[tuple[str, str]]:
    return [(" ".join(sentence.words[s.start : s.end]), s.type) for s in sentence.spans or ()]


def test_terms_become_spans(tmp_path):
    """Terms of one or more words; `conflict` is a type; a sentence without a term is kept."""
    path = xml(
        tmp_path,
        review("Fish & chips were fine.", ("Fish & chips", 0, 12, "positive")),
        review("Nobody came."),
        review("Loud music, good music.", ("music", 5, 10, "negative"), ("music", 17, 22, "conflict")),
    )
    result = list(SemEval14Reader(path=path).read())
    assert [spans_of(s) for s in result] == [
        [("Fish & chips", "positive")],
        [],
        [("music", "negative"), ("music", "conflict")],
    ]
    assert result[0].text == "Fish & chips were fine."
    assert [s.line for s in result] == [3, 4, 5]
    assert not any(s.unused for s in result)


GLUED = review("The soup-great!", ("soup", 4, 8, "positive"))


@pytest.mark.parametrize(
    ("misaligned", "words", "spans", "unused"),
    [
        ("split", ["The", "soup", "-great!"], [Span(1, 2, "positive")], [None]),
        ("widen", ["The", "soup-great!"], [Span(1, 2, "positive")], [None]),
        ("skip", ["The", "soup-great!"], [], ["positive"]),
    ],
)
def test_a_term_inside_a_word(tmp_path, misaligned, words, spans, unused):
    """`misaligned` splits the word, widens the span or leaves it out; changes are reported."""
    reader = SemEval14Reader(path=xml(tmp_path, GLUED), misaligned=misaligned, splitter=WhitespaceSplitter())
    (sentence,) = reader.read()
    assert (sentence.words, sentence.spans) == (words, spans)
    assert [item.type for item in sentence.unused] == unused
    assert all(item.line == 3 and "inside a word: `soup-great!`" in item.reason for item in sentence.unused)


def test_a_term_inside_a_word_may_be_an_error(tmp_path):
    """`misaligned: error` names file and line."""
    path = xml(tmp_path, GLUED)
    error = error_message(SemEval14Reader(path=path, misaligned="error", splitter=WhitespaceSplitter()))
    assert f"{path}:3" in error
    assert "`soup-great!`" in error


@pytest.mark.parametrize(
    ("sentence", "line", "message"),
    [
        (review("Ok.\nThe soup.", ("soup", 7, 11, "positive")), 4, "is ` sou`, not `soup`"),
        (
            review("The soup.", ("soup", 4, 80, "positive")),
            3,
            "[4, 80) is not inside this text of 9 characters",
        ),
        (
            review("The soup.", ("soup", -5, -1, "positive")),
            3,
            "[-5, -1) is not inside this text of 9 characters",
        ),
        ("<sentence><text>a<b></text></sentence>", 3, "not well-formed XML: mismatched tag"),
        ("<sentence id='2'></sentence>", 3, "no `text`"),
        ("<sentence><text>a</text><aspectTerm term='a' from='0' to='1'/></sentence>", 3, "no `polarity`"),
        (
            "<sentence><text>a</text><aspectTerm polarity='p' term='a' from='x' to='1'/></sentence>",
            3,
            "not whole numbers",
        ),
    ],
)
def test_bad_xml(tmp_path, sentence, line, message):
    """Offsets that do not match their term, and malformed XML, are errors with file and line."""
    path = xml(tmp_path, sentence)
    error = error_message(SemEval14Reader(path=path))
    assert f"{path}:{line}" in error
    assert message in error


def test_no_document_type_declaration(tmp_path):
    """A DTD is rejected, so that no entity can be fetched or expanded."""
    head = '<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/hostname">]>\n'
    path = xml(tmp_path, "<sentence><text>&a;</text></sentence>", head=head)
    error = error_message(SemEval14Reader(path=path))
    assert f"{path}:2" in error
    assert "document type declaration" in error


@given(st.data())
def test_split_keeps_every_span(data):
    """With `split`, each span except those of white space covers exactly its own characters."""
    text = data.draw(st.text(min_size=1, max_size=40))
    places = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(places, places).filter(lambda pair: pair[0] < pair[1]), max_size=5))
    spans = [CharSpan(start, end, str(number)) for number, (start, end) in enumerate(pairs)]
    offsets = RegexSplitter().split(text)
    sentence = annotated_sentence(text, spans, offsets, "split", file="x", line=1)
    assert "".join(sentence.words) == "".join(text[start:end] for start, end in offsets)
    assert len(sentence.spans) + sum(item.type is not None for item in sentence.unused) == len(spans)
    cut = {place for pair in pairs for place in pair if any(s < place < e for s, e in offsets)}
    assert sum(item.adjusted for item in sentence.unused) == sum(bool(cut & {*pair}) for pair in pairs)
    for span in sentence.spans:
        start, end = pairs[int(span.type)]
        covered = sentence.offsets[span.start][0], sentence.offsets[span.end - 1][1]
        words = [piece for piece in sentence.offsets if piece[0] < end and start < piece[1]]
        assert covered == (words[0][0], words[-1][1])
        assert start <= covered[0] < covered[1] <= end


def lines(tmp_path: Path, *objects: object) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects))
    return path


def test_json_words_and_tags(tmp_path):
    """Words with tags, words alone, and other field names."""
    path = lines(tmp_path, {"words": ["a", "b"], "tags": ["O", "B-X"]}, "", {"words": ["c"]})
    result = list(JsonlReader(path=path).read())
    assert [(s.words, s.tags, s.line) for s in result] == [(["a", "b"], ["O", "B-X"], 1), (["c"], None, 3)]
    path = lines(tmp_path, {"tokens": ["a"], "ner": ["O"], "tags": 7})
    assert next(JsonlReader(path=path, words_field="tokens", tags_field="ner").read()).tags == ["O"]


def test_json_text_and_spans(tmp_path):
    """Spans are characters of the text; its words come from the splitter or from the file."""
    span = {"start": 4, "end": 12, "type": "T"}
    path = lines(
        tmp_path,
        {"text": "The red  car.", "spans": [span]},
        {"text": "The red  car.", "spans": [span], "words": ["The", "red  car", "."]},
        {"text": "No spans.", "spans": []},
        {"text": "Nothing known."},
    )
    result = list(JsonlReader(path=path).read())
    assert [s.words for s in result[:2]] == [["The", "red", "car", "."], ["The", "red  car", "."]]
    assert [s.spans for s in result] == [[Span(1, 3, "T")], [Span(1, 2, "T")], [], None]


def test_json_span_fields_are_options(tmp_path):
    """The keys in a span are options."""
    path = lines(tmp_path, {"t": "ab cd", "s": [{"from": 3, "to": 5, "label": "T"}]})
    reader = JsonlReader(
        path=path, text_field="t", spans_field="s", start_field="from", end_field="to", type_field="label"
    )
    assert next(reader.read()).spans == [Span(1, 2, "T")]


SPANS_OF_AB = [{"start": 0, "end": 1, "type": "T"}]


def test_of_tags_and_spans_one_may_be_chosen(tmp_path):
    """A field set to null is not read; an empty list of spans does not replace tags."""
    record = {"words": ["a", "b"], "tags": ["O", "O"], "text": "a b", "spans": SPANS_OF_AB}
    path = lines(tmp_path, record)
    assert next(JsonlReader(path=path, spans_field=None).read()).tags == ["O", "O"]
    assert next(JsonlReader(path=path, tags_field=None).read()).spans == [Span(0, 1, "T")]
    assert next(JsonlReader(path=lines(tmp_path, record | {"spans": []})).read()).tags == ["O", "O"]


def test_json_spans_may_be_lists(tmp_path):
    """A span may be written as a list of start, end and type."""
    path = lines(tmp_path, {"text": "ab cd", "spans": [[3, 5, "T"]]})
    assert next(JsonlReader(path=path).read()).spans == [Span(1, 2, "T")]


QUOTED = {"words": ["``", "Hi", "''"], "text": '"Hi"'}


@pytest.mark.parametrize("more", [{"tags": ["O", "B-X", "O"]}, {}, {"spans": []}])
def test_a_text_without_the_words_is_not_used(tmp_path, more):
    """If words are not in the text, they are kept and the text is left out and counted."""
    path = lines(
        tmp_path, QUOTED | more, {"words": ["a"], "text": "a"} | {key: more[key][:1] for key in more}
    )
    first, second = JsonlReader(path=path).read()
    assert (first.words, first.tags, first.text) == (QUOTED["words"], more.get("tags"), None)
    assert first.spans == more.get("spans")
    (report,) = first.unused
    assert (report.line, report.adjusted) == (1, True)
    assert "word 1, ````, is not in the text" in report.reason
    assert (second.text, second.unused) == ("a", ())


def test_texts_may_be_ignored(tmp_path):
    """`text_field: null` reads words and tags alone, and refuses spans of a text."""
    spans = {"spans": [{"start": 0, "end": 1, "type": "X"}]}
    path = lines(tmp_path, QUOTED | {"tags": ["O", "B-X", "O"]} | spans)
    (sentence,) = JsonlReader(path=path, text_field=None).read()
    assert (sentence.tags, sentence.text, sentence.unused) == (["O", "B-X", "O"], None, ())
    written = {"text": "a b", "words": [{"text": "a", "start": 0, "end": 1, "tag": "B-X"}]} | spans
    (sentence,) = JsonlReader(path=lines(tmp_path, written), text_field=None).read()
    assert (sentence.words, sentence.tags) == (["a"], ["B-X"])
    message = error_message(JsonlReader(path=lines(tmp_path, QUOTED | spans), text_field=None))
    assert "`text_field: null` reads none" in message


def test_the_text_of_a_span_may_be_ignored(tmp_path):
    """`span_text_field: null` does not compare texts; another key may hold them."""
    path = lines(tmp_path, {"text": "ab cd", "spans": [{"start": 3, "end": 5, "type": "T", "text": "Kai"}]})
    assert "the text at [3, 5) is `cd`, not `Kai`" in error_message(JsonlReader(path=path))
    assert next(JsonlReader(path=path, span_text_field=None).read()).spans == [Span(1, 2, "T")]
    path = lines(tmp_path, {"text": "ab cd", "spans": [{"start": 3, "end": 5, "type": "T", "word": "Kai"}]})
    assert "not `Kai`" in error_message(JsonlReader(path=path, span_text_field="word"))


@pytest.mark.parametrize(
    "bad",
    [
        {"start": 0, "end": 9, "type": "T"},
        {"start": 2, "end": 2, "type": "T"},
        {"start": "0", "end": 2, "type": "T"},
        {"start": 0, "end": 2},
        {"start": 0, "end": 2, "type": ""},
        {"start": 0, "end": 2, "type": "T", "text": "Kai"},
        [0, 2],
        "T",
    ],
)
def test_a_bad_json_span_may_be_left_out(tmp_path, bad):
    """`bad_annotation: skip` reads the other spans, and lists the bad one with its line."""
    good = {"start": 3, "end": 5, "type": "T"}
    path = lines(tmp_path, {"text": "fine", "spans": []}, {"text": "ab cd", "spans": [bad, good]})
    assert f"{path}:2" in error_message(JsonlReader(path=path))
    _, sentence = JsonlReader(path=path, bad_annotation="skip").read()
    assert sentence.spans == [Span(1, 2, "T")]
    assert [(item.line, item.reason.startswith("left out: spans[0]")) for item in sentence.unused] == [
        (2, True)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"words": ["a"', "not valid JSON"),
        ("[1]", "expected an object"),
        ('{"a": 1} x', "more text after the object"),
        ("[" * 100_000, "nested too deeply"),
        ({"tokens": []}, "no `words` in this object; its keys: tokens"),
        ({"words": ["a"], "tags": ["O", "O"]}, "1 words but 2 tags"),
        ({"words": ["a", 1]}, "item 2 of `words` is 1, not a string"),
        ({"words": ["a"], "tags": "O"}, '`tags` is "O", not a list'),
        ({"words": ["a"], "spans": []}, "which this object lacks"),
        (
            {"text": "ab", "spans": [{"start": 1, "end": 3, "type": "T"}]},
            "not inside this text of 2 characters",
        ),
        ({"text": "ab", "spans": [{"start": True, "end": 2, "type": "T"}]}, "not a whole number"),
        ({"text": "ab", "spans": [{"start": 0, "end": 2}]}, "no `type`"),
        ({"text": "ab", "words": ["c"], "spans": SPANS_OF_AB}, "word 1, `c`, is not in the text"),
        ({"text": "ab", "words": [{"start": 1, "end": 1}]}, "is empty"),
        ({"text": "ab", "words": [{"start": 0, "end": 1, "text": "b"}]}, 'at [0, 1) is `a`, not "b"'),
        (
            {"text": "ab", "words": [{"start": 0, "end": 1}, {"start": 1, "end": 2, "tag": "O"}]},
            "words[0]: no `tag`",
        ),
        ({"words": ["a"], "tags": ["O"], "spans": SPANS_OF_AB}, "both `tags` and `spans` annotate"),
    ],
)
def test_bad_json_lines(tmp_path, content, message):
    """A malformed or contradictory object is an error with file and line."""
    path = lines(tmp_path, {"words": ["fine"], "tags": ["O"]}, content)
    error = error_message(JsonlReader(path=path))
    assert f"{path}:2" in error
    assert message in error


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(TEXT, st.data())
def test_jsonl_round_trip(tmp_path_factory, text, data):
    """Words, offsets and spans survive a round trip, including overlapping spans."""
    offsets = RegexSplitter().split(text)
    places = st.integers(0, len(offsets))
    pairs = st.tuples(places, places).filter(lambda pair: pair[0] < pair[1])
    drawn = (
        data.draw(st.sets(st.tuples(pairs, st.sampled_from(["A", "B"])), max_size=4)) if offsets else set()
    )
    spans = [Span(start, end, type_) for (start, end), type_ in sorted(drawn)]
    sentence = Sentence([text[start:end] for start, end in offsets], text=text, offsets=offsets)
    path = tmp_path_factory.mktemp("jsonl") / "x.jsonl"
    prediction = Prediction(sentence, ["O"] * len(offsets), None, spans)
    path.write_text("".join(JsonlWriter().render([prediction])), encoding="utf-8", newline="")
    (result,) = JsonlReader(path=path, misaligned="error").read()
    assert (result.words, result.text, result.offsets) == (sentence.words, text, offsets)
    assert sorted(result.spans or ()) == sorted(spans)


def test_jsonl_round_trip_of_plain_tags(tmp_path):
    """Tags without spans are read as tags."""
    prediction = Prediction(Sentence(["go", "home"]), ["VERB", "ADV"])
    path = lines(tmp_path, *JsonlWriter().render([prediction]))
    assert next(JsonlReader(path=path).read()).tags == ["VERB", "ADV"]
