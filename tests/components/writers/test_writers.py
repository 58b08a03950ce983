"""Writers: formats, streaming, and robustness against any text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk.components.readers.conll import ConllReader
from sltk.components.slots import Writer
from sltk.components.writers import (
    ConllWriter,
    HtmlWriter,
    JsonlWriter,
    LabelStudioWriter,
    SpansWriter,
    TextWriter,
)
from sltk.errors import DataError
from sltk.types import Prediction, Sentence, Span

WRITERS = [
    TextWriter(),
    TextWriter(color=True),
    ConllWriter(),
    JsonlWriter(),
    SpansWriter(),
    HtmlWriter(),
    LabelStudioWriter(),
]
every_writer = pytest.mark.parametrize("writer", WRITERS, ids=repr)

NASTY = "a<&\"'>\t\n\r\x00\x1b\x7f\x9b\u2028\u0085\u200f\ud800[](){}\\é東😀 "
WORDS = st.text(st.one_of(st.sampled_from(NASTY), st.characters()), min_size=1, max_size=6)


def cut(text: str, spans: list[Span], tags: list[str] | None = None) -> Prediction:
    """A prediction for a text whose words are between spaces."""
    offsets, start = [], 0
    for word in text.split(" "):
        offsets += [(start, start + len(word))] * bool(word)
        start += len(word) + 1
    words = [text[start:end] for start, end in offsets]
    return Prediction(Sentence(words, text=text, offsets=offsets), tags or ["O"] * len(words), None, spans)


def written(writer: Writer, *predictions: Prediction) -> str:
    return "".join(writer.render(predictions))


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    """Any words, with spans that may nest and cross, of any type and score."""
    words = draw(st.lists(WORDS, max_size=5))
    spans = []
    for _ in range(draw(st.integers(0, 3)) if words else 0):
        start = draw(st.integers(0, len(words) - 1))
        score = draw(st.none() | st.floats(0, 1))
        spans.append(Span(start, draw(st.integers(start + 1, len(words))), draw(WORDS), score))
    return Prediction(Sentence(words), ["O"] * len(words), [0.5] * len(words), spans)


@every_writer
def test_writers_stream(writer: Writer) -> None:
    """A sentence is written before the next one is requested."""
    requests = 0

    def source() -> Iterator[Prediction]:
        nonlocal requests
        for _ in range(3):
            requests += 1
            yield cut("Kim left", [Span(0, 1, "PER")])

    for piece in writer.render(source()):
        if "Kim" in piece:
            break
    assert requests == 1


@every_writer
@given(batch=st.lists(predictions(), max_size=3))
def test_output_is_utf8(writer: Writer, batch: list[Prediction]) -> None:
    """The output of any words can be encoded, including lone surrogates."""
    written(writer, *batch).encode("utf-8")


# text


def test_text_marks_spans_inline() -> None:
    """A span is in brackets, followed by its type, and the text around it is unchanged."""
    prediction = cut("The  fine pasta was cold.", [Span(1, 3, "positive"), Span(4, 5, "negative")])
    assert written(TextWriter(), prediction) == "The  [fine pasta](positive) was [cold.](negative)\n"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 1), (1, 2)], "[a](T)[b](T) c\n"),
        ([(0, 3), (0, 1)], "[[a](T)b c](T)\n"),
        ([(0, 3), (2, 3)], "[ab [c](T)](T)\n"),
    ],
)
def test_text_marks_close_before_others_open(spans: list[tuple[int, int]], expected: str) -> None:
    """Of adjacent spans the first closes before the second opens; of nested spans the inner closes first."""
    sentence = Sentence(["a", "b", "c"], text="ab c", offsets=[(0, 1), (1, 2), (3, 4)])
    prediction = Prediction(sentence, ["O"] * 3, None, [Span(*span, "T") for span in spans])
    assert written(TextWriter(), prediction) == expected


def test_text_marks_every_word_of_plain_tags() -> None:
    """Plain tags form no spans, so each word is marked with its tag."""
    assert written(TextWriter(), cut("birds sing", [], ["NOUN", "VERB"])) == "[birds](NOUN) [sing](VERB)\n"


def test_text_is_one_line_per_sentence() -> None:
    """Sentences without words or with line ends are one line each, so that lines match the input."""
    batch = [cut("", []), cut("a\nb", []), cut("c", [])]
    assert written(TextWriter(), *batch) == "\na␊b\nc\n"


@pytest.mark.parametrize("color", [False, True])
@given(prediction=predictions())
def test_text_is_harmless_to_a_terminal(color: bool, prediction: Prediction) -> None:
    """No control character of the input reaches the output; only the writer's own colour escapes do."""
    output = written(TextWriter(color=color), prediction)
    assert output.endswith("\n")
    for code in range(30, 38):
        output = output.replace(f"\x1b[{code}m", "") if color else output
    output = output.replace("\x1b[0m", "") if color else output
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in output[:-1])


def test_text_colors_types_apart() -> None:
    """With color, each type has its own escape, the same in every sentence."""
    batch = [cut("a b", [Span(0, 1, "X"), Span(1, 2, "Y")]), cut("a", [Span(0, 1, "Y")])]
    first, second = written(TextWriter(color=True), *batch).splitlines()
    assert first == "\x1b[31m[a](X)\x1b[0m \x1b[32m[b](Y)\x1b[0m"
    assert second == "\x1b[32m[a](Y)\x1b[0m"
    assert "\x1b" not in written(TextWriter(), *batch)


# conll


def test_conll_has_gold_where_there_is_gold() -> None:
    """Columns are word, gold and predicted tag, or word and predicted tag without gold."""
    gold = Prediction(Sentence(["Kim", "left"], tags=["B-PER", "O"]), ["O", "O"])
    assert written(ConllWriter(), gold) == "Kim\tB-PER\tO\nleft\tO\tO\n\n"
    assert written(ConllWriter(), cut("Kim left", [], ["B-PER", "O"])) == "Kim\tB-PER\nleft\tO\n\n"


def test_conll_rejects_columns_that_do_not_agree() -> None:
    """Sentences with and without gold in one output are an error that names file and line."""
    gold = Prediction(Sentence(["Kim"], tags=["O"], file="some.conll", line=7), ["O"])
    with pytest.raises(DataError, match=r"has gold tags(.|\n)*some\.conll:7"):
        written(ConllWriter(), cut("Kim", []), cut("", []), gold)


@given(batch=st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_conll_survives_reading_back(
    tmp_path_factory: pytest.TempPathFactory, batch: list[list[str]]
) -> None:
    """White space and control characters are read back unchanged; tab, LF and CR become ␉␊␍."""
    path = tmp_path_factory.mktemp("conll") / "out.conll"
    tags = [[f"T{place}" for place in range(len(words))] for words in batch]
    rows = (Prediction(Sentence(w), t) for w, t in zip(batch, tags, strict=True))
    path.write_bytes("".join(ConllWriter().render(rows)).encode("utf-8"))
    back = list(ConllReader(path=path, separator="tab", document_marker=None).read())
    symbols = {ord("\t"): "␉", ord("\n"): "␊", ord("\r"): "␍"} | dict.fromkeys(
        range(0xD800, 0xE000), "\ufffd"
    )
    if not batch[0][0].startswith("\ufeff"):  # at the start of a file that character is a byte-order mark
        assert [s.words for s in back] == [[word.translate(symbols) for word in words] for words in batch]
    assert [sentence.tags for sentence in back] == tags


# jsonl


def test_jsonl_has_the_promised_form() -> None:
    """An object has text, words and spans; offsets count characters of the text."""
    sentence = Sentence(["Kim", "’s", "dog"], text=" Kim’s  dog", offsets=[(1, 4), (4, 6), (8, 11)])
    prediction = Prediction(sentence, ["B-PER", "O", "O"], [0.5, 0.5, 1.0], [Span(0, 1, "PER", 0.5)])
    assert json.loads(written(JsonlWriter(), prediction)) == {
        "text": " Kim’s  dog",
        "words": [
            {"text": "Kim", "start": 1, "end": 4, "tag": "B-PER"},
            {"text": "’s", "start": 4, "end": 6, "tag": "O"},
            {"text": "dog", "start": 8, "end": 11, "tag": "O"},
        ],
        "spans": [{"start": 1, "end": 4, "text": "Kim", "type": "PER", "score": 0.5}],
    }


def test_jsonl_of_an_empty_line_has_empty_lists() -> None:
    """An empty line gives an object with empty lists, so that output lines match input lines."""
    assert written(JsonlWriter(), cut("", [])) == '{"text": "", "words": [], "spans": []}\n'


@given(batch=st.lists(predictions(), max_size=3))
def test_jsonl_survives_any_text(batch: list[Prediction]) -> None:
    """Every object is one line by any definition of line, and contains the exact text and span texts."""
    lines = written(JsonlWriter(), *batch).splitlines()
    assert len(lines) == len(batch)
    for line, prediction in zip(lines, batch, strict=True):
        record = json.loads(line)
        assert record["text"] == prediction.text
        assert [word["text"] for word in record["words"]] == prediction.words
        for item in [*record["words"], *record["spans"]]:
            assert record["text"][item["start"] : item["end"]] == item["text"]
        assert [(s["type"], s["score"]) for s in record["spans"]] == [
            (s.type, s.score) for s in prediction.spans
        ]


def test_jsonl_keeps_letters_readable() -> None:
    """Letters of any script are written directly; control characters are escaped."""
    assert '"東é"' in written(JsonlWriter(), cut("東é", []))
    assert '"\\u001b\\u009b"' in written(JsonlWriter(), cut("\x1b\x9b", []))


# spans


def test_spans_is_a_table() -> None:
    """A header line, then one line per span with sentence, words, characters, type, score and text."""
    batch = [cut("", []), cut("on Mount  Ida", [Span(1, 3, "LOC", 0.25), Span(0, 1, "X")])]
    assert written(SpansWriter(), *batch).splitlines() == [
        "sentence\tstart_word\tend_word\tstart_char\tend_char\ttype\tscore\ttext",
        "2\t1\t3\t3\t13\tLOC\t0.25\tMount  Ida",
        "2\t0\t1\t0\t2\tX\t\ton",
    ]


@given(batch=st.lists(predictions(), max_size=3))
def test_spans_has_eight_cells_per_line(batch: list[Prediction]) -> None:
    """No word or type can break a line or a cell."""
    lines = written(SpansWriter(), *batch).split("\n")[1:-1]
    assert len(lines) == sum(len(prediction.spans) for prediction in batch)
    assert all(len(line.split("\t")) == 8 for line in lines)


# html


class Page(HTMLParser):
    """What a browser displays: the text of each sentence and its marks; raises on bad nesting."""

    VOID = ("meta",)

    def __init__(self, source: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: set[str] = set()
        self.sentences: list[str] = []
        self.marked: list[str] = []
        self.feed(source)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.stack.append(tag)
        if tag == "li":
            self.sentences.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "li" in self.stack and self.stack[-1] == "small":
            self.marked.append(data)
        elif "li" in self.stack:
            self.sentences[-1] += data


def visible(text: str) -> str:
    """The text with control characters except tab and line feed replaced, as the page displays it."""
    shown = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: "␡"}
    shown |= dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], "\ufffd")
    return text.translate(shown)


@given(batch=st.lists(predictions(), max_size=3))
def test_html_shows_the_text_and_every_span_once(batch: list[Prediction]) -> None:
    """The page is well nested, displays the exact text, and names each span once, including crossing ones."""
    page = Page(written(HtmlWriter(), *batch))
    assert page.sentences == [visible(prediction.text) for prediction in batch]
    spans = [span for prediction in batch for span in prediction.spans]
    assert sorted(page.marked) == sorted(visible(span.type) for span in spans)


def test_html_runs_nothing_from_its_input() -> None:
    """Markup in titles, words and types is escaped, and the page loads nothing."""
    evil = '"><script>alert(1)</script><img/src=x>'
    source = written(HtmlWriter(title=evil), cut(evil, [Span(0, 1, evil)]))
    assert Page(source).tags <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "ol",
            "li",
            "mark",
            "small",
            "footer",
            "span",
        )
    }
    assert "default-src 'none'" in source
    assert "http" not in source.replace("http-equiv", "")


def test_html_marks_the_words_of_a_span() -> None:
    """A mark contains the words and the type of its span, and its title the score."""
    source = written(HtmlWriter(), cut("to Ida Bay now", [Span(1, 3, "LOC", 0.5)]))
    assert (
        'to <mark style="--hue:30;--score:0.5">Ida Bay<small title="score 0.5000">LOC</small></mark> now'
        in source
    )


def test_html_nests_spans_and_shows_where_one_is_cut() -> None:
    """Boxes are inside boxes; a span that crosses another is in two pieces, which are open towards each other."""
    source = written(HtmlWriter(), cut("a b c d", [Span(0, 3, "X"), Span(1, 2, "Y"), Span(1, 4, "Z")]))
    line = source.split("<li")[1]
    assert (
        '<mark style="--hue:30">a <mark class="cut" style="--hue:252.5"><mark style="--hue:115">b'
        "<small>Y</small></mark> c</mark><small>X</small></mark>"
        '<mark class="rest" style="--hue:252.5"> d<small>Z</small></mark></li>'
    ) in line


def test_html_has_a_legend_of_types_in_distinct_colours() -> None:
    """The footer counts each type, in the colour of its spans."""
    batch = [cut("a b", [Span(0, 1, "X"), Span(1, 2, "Y")]), cut("a", [Span(0, 1, "X")])]
    foot = written(HtmlWriter(), *batch).split("<footer>")[1]
    assert "2 sentences" in foot
    assert '<mark style="--hue:30">X</mark> 2' in foot
    assert '<mark style="--hue:252.5">Y</mark> 1' in foot


def test_html_of_nothing_is_a_page() -> None:
    """Without sentences the page is empty but valid."""
    assert Page(written(HtmlWriter())).sentences == []
