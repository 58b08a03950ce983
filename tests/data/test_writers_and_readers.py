"""Every writer's output is read back by the reader of its format; what a format cannot hold is reported or refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sltk import schemes
from sltk.components.metrics.seqeval import SeqevalMetric
from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.slots import Reader, Writer
from sltk.components.writers import BratWriter, ConllWriter, JsonlWriter, TextWriter
from sltk.components.writers.highlights import highlights
from sltk.data.changes import Changes, written
from sltk.data.conversion import Conversion
from sltk.data.datasets import load
from sltk.data.raw import read
from sltk.data.scoring import score_files
from sltk.errors import DataError
from sltk.files.safety import cell
from sltk.rundir.directory import RunDirectory
from sltk.schemes.names import SchemeName
from sltk.types import Prediction, Sentence, Span

NASTY = " \t\n\r\x00\x0b\x1b\x7f\x85\x9b\u00a0\u2028\u200b\U0001f600#-'\"\\[](){}aB"
TEXT = st.text(
    st.one_of(st.sampled_from(NASTY), st.characters(codec="utf-8", exclude_characters="\ufeff")), max_size=4
)
TYPES = st.sampled_from(["PER", "LOC", "a-b:c", "Ü", "I-X"])
SCHEMES: list[SchemeName] = ["IOB1", "IOB2", "BIOES", "BILOU", "BMES"]
FORMS = ("conll", "jsonl", "brat", "brat-folder")


class ListReader(Reader):
    """Reads a list of sentences."""

    type_name: ClassVar[str] = "list"  # not registered, so that other tests do not see it
    sentences: list[Sentence]

    def read(self) -> Iterator[Sentence]:
        yield from self.sentences


@st.composite
def annotated(draw: st.DrawFn) -> list[Sentence]:
    """Sentences of any words, also empty and blank ones, with spans that do not overlap."""
    sentences = []
    for words in draw(st.lists(st.lists(TEXT, max_size=5), min_size=1, max_size=4)):
        places = draw(st.lists(st.integers(0, len(words)), max_size=5, unique=True).map(sorted))
        spans = [Span(a, b, draw(TYPES)) for a, b in pairwise(places) if draw(st.booleans())]
        sentences.append(Sentence(words, spans=spans))
    return sentences


def write(form: str, folder: Path, predictions: Iterator[Prediction]) -> tuple[Path, Changes]:
    writers: dict[str, Writer] = {"conll": ConllWriter(), "jsonl": JsonlWriter()}
    suffixes = {"brat": ".txt", "brat-folder": ""}
    path = folder / f"out{suffixes.get(form, '.data')}"
    writer, changes = writers.get(form, BratWriter()), Changes()
    writer.save(written(predictions, writer, changes), path)
    return path, changes


def reader_of(form: str, path: Path, scheme: SchemeName) -> Reader:
    """The reader of the format, which accepts no ill-formed tag."""
    if form == "conll":
        return ConllReader(path=path, separator="tab", document_marker=None, scheme=scheme, repair="error")
    if form == "jsonl":
        return JsonlReader(path=path, scheme=scheme, repair="error")
    return BratReader(path=path)


def visible(text: str, form: str) -> str:
    """A word as the format holds it."""
    if form == "jsonl":
        return text
    return cell(text) if form == "conll" else text.replace("\n", "␊").replace("\r", "␍")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@given(sentences=annotated(), scheme=st.sampled_from(SCHEMES))
@example(sentences=[Sentence(["Vera", ""], spans=[Span(0, 1, "PER"), Span(1, 2, "PER")])], scheme="IOB2")
@example(sentences=[Sentence([" ", "\t"], spans=[Span(0, 2, "PER")]), Sentence([], spans=[])], scheme="BIOES")
@settings(max_examples=60)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, form: str, sentences: list[Sentence], scheme: SchemeName
) -> None:
    """Words and spans are the same, in number and in text, except for those that were reported."""
    folder = tmp_path_factory.mktemp("forms")
    source = ListReader(sentences=sentences)
    conversion = Conversion(source, scheme)
    path, changes = write(form, folder, conversion.predictions())
    clean = list(read(source))
    empty = sum(not word for sentence in sentences for word in sentence.words)
    assert conversion.changes.count == empty
    altered = sum(visible(word, form) != word for sentence in clean for word in sentence.words)
    blank = sum(not sentence.words for sentence in sentences)
    assert changes.count == altered + (blank if form == "conll" else 0)
    try:
        back = load(reader_of(form, path, scheme), "IOB2")
    except DataError as error:  # no word at all, or in brat no word that is not blank
        assert "no sentences" in str(error)  # noqa: PT017
        assert form != "jsonl"
        return
    if form.startswith("brat"):
        count = sum(len(sentence.spans or ()) for sentence in clean)
        reported = sum(not each.adjusted for each in back.unused)
        assert sum(len(sentence.spans or ()) for sentence in back) + reported == count
        return
    expected = [sentence for sentence in clean if sentence.words or form == "jsonl"]
    assert [each.words for each in back] == [
        [visible(word, form) for word in each.words] for each in expected
    ]
    assert [each.spans for each in back] == [each.spans for each in expected]


@pytest.mark.parametrize("form", FORMS)
def test_a_byte_order_mark_in_a_word_is_kept_or_reported(tmp_path: Path, form: str) -> None:
    """Readers of text remove marks at the beginning of a line, and say so."""
    spans = [Span(0, 1, "PER")]
    source = ListReader(sentences=[Sentence(["x\ufeff"], spans=spans), Sentence(["\ufeffKai"], spans=spans)])
    path, changes = write(form, tmp_path, Conversion(source).predictions())
    data = load(reader_of(form, path, "IOB2"), "IOB2")
    assert data.sentences[0].words == ["x\ufeff"]
    assert data.sentences[1].words == ["\ufeffKai"] or data.unused
    assert (changes.count == 1) == (form == "conll")


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_word_is_reported_once_and_keeps_its_tag(tmp_path: Path, form: str) -> None:
    """An empty cell is read as U+FFFD, with its line, and every format holds that."""
    source = tmp_path / "in.conll"
    source.write_text("Vera\tB-PER\n\tI-PER\nsings\tO\n")
    conversion = Conversion(ConllReader(path=source, separator="tab"))
    path, _ = write(form, tmp_path, conversion.predictions())
    (report,) = conversion.changes.adjusted
    assert (report.line, report.reason) == (2, "an empty word, read as U+FFFD")
    (sentence,) = load(reader_of(form, path, "IOB2"), "IOB2")
    assert sentence.words == ["Vera", "\ufffd", "sings"]
    assert sentence.spans == [Span(0, 2, "PER")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jsonl", '{"words": ["", "a"], "tags": ["B-X", "O"]}\n'),
        ("jsonl", '{"text": "a b", "words": ["", "a"], "tags": ["B-X", "O"]}\n'),
        ("csv", "tokens,tags\n\"['', 'a']\",\"['B-X', 'O']\"\n"),
    ],
)
def test_empty_words_of_other_formats_are_reported_too(tmp_path: Path, name: str, text: str) -> None:
    """Readers of lists of words report empty ones at their line."""
    path = tmp_path / "in"
    path.write_text(text)
    readers = {"jsonl": JsonlReader, "csv": CsvReader}
    (sentence,) = read(readers[name](path=path))
    assert sentence.words == ["\ufffd", "a"]
    assert [each.reason for each in sentence.unused] == ["an empty word, read as U+FFFD"]


@pytest.mark.parametrize("row", ["New York\tB-LOC", " \tO\tB-LOC", "\tO\tB-LOC", "Kai\tNew York\tO"])
def test_columns_split_at_blanks_between_tabs_are_reported(tmp_path: Path, row: str) -> None:
    """Without a separator, a word with a space is split or lost: the sentence says so once."""
    path = tmp_path / "in.conll"
    path.write_text(f"{row}\n{row}\n\nKai \tB-PER\nsings\t O\n")
    first, second = ConllReader(path=path).read()
    assert [each.line for each in first.unused] == [1]
    assert "`separator: tab`" in first.unused[0].reason
    assert second.unused == ()


# One prediction, one set of spans


@st.composite
def predicted(draw: st.DrawFn) -> Prediction:
    """Any tags of a scheme, also ill-formed ones, with the spans that strict scoring counts."""
    scheme = draw(st.sampled_from([*SCHEMES, "IO"]))
    tags = draw(st.lists(st.sampled_from(schemes.tags_of(["LOC", "PER"], scheme)), max_size=7))
    spans = schemes.decode(tags, scheme, "drop").spans
    return Prediction(Sentence([f"w{n}" for n in range(len(tags))]), tags, None, spans, scheme=scheme)


@given(prediction=predicted())
@settings(max_examples=150)
def test_a_prediction_has_the_same_spans_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, prediction: Prediction
) -> None:
    """Tags written are those of the spans, and well-formed, whatever tags the model chose."""
    folder = tmp_path_factory.mktemp("spans")
    scheme: SchemeName = prediction.scheme  # type: ignore[assignment]
    expected = prediction.spans
    assert TextWriter().render([prediction]).__next__().count("](") == len(expected)
    for form in FORMS:
        if not prediction.words and form != "jsonl":
            continue
        path, changes = write(form, folder, iter([prediction]))
        assert changes.count == 0
        data = load(reader_of(form, path, scheme), "IOB2")
        assert [sentence.spans for sentence in data] == [expected]
        assert data.repaired == 0


@pytest.mark.parametrize("scheme", ["IOB2", None])
def test_no_prefix_is_shown_as_a_type(scheme: str | None) -> None:
    """A sentence without a well-formed span shows none, also if other sentences have some."""
    stray = Prediction(Sentence(["Kai"]), ["I-LOC"], scheme=scheme)
    assert highlights(stray) == []
    assert "".join(TextWriter().render([stray])) == "Kai\n"


def test_plain_tags_are_shown_as_they_are() -> None:
    """The scheme of the run decides, not the form of a tag."""
    plain = Prediction(Sentence(["a", "b"]), ["I-X", "NOUN"], scheme="plain")
    assert "".join(TextWriter().render([plain])) == "[a](I-X) [b](NOUN)\n"
    assert "".join(ConllWriter().render([plain])) == "a\tI-X\nb\tNOUN\n\n"


@given(predictions=st.lists(predicted(), min_size=1, max_size=5), data=st.data())
@settings(max_examples=80)
def test_the_predictions_of_a_run_score_as_its_metrics(
    tmp_path_factory: pytest.TempPathFactory, predictions: list[Prediction], data: st.DataObject
) -> None:
    """`predictions/SPLIT.conll` has the tags that were scored: `sltk score` gives the same numbers, all of them."""
    scheme: SchemeName = predictions[0].scheme  # type: ignore[assignment]
    predictions = [each for each in predictions if each.scheme == scheme and each.words]
    if not predictions:
        return
    for each in predictions:
        places = data.draw(st.lists(st.integers(0, len(each.words)), max_size=4, unique=True).map(sorted))
        each.sentence.tags = schemes.encode(
            [Span(a, b, "PER") for a, b in pairwise(places)], len(each.words), scheme
        )
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    run.write_predictions("test", predictions)
    scored = score_files(run.predictions / "test.conll", scheme=scheme)
    assert scored == SeqevalMetric().score(predictions, scheme)
    for mode in ("strict", "conlleval"):
        metric = SeqevalMetric(mode=mode)
        assert score_files(run.predictions / "test.conll", scheme=scheme, metric=metric) == metric.score(
            predictions, scheme
        )
