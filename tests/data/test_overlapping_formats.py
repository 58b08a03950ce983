"""Spans that overlap or are discontinuous, written in each format and read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import cli
from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.label_studio import LabelStudioReader
from sltk.components.readers.webanno import WebAnnoReader
from sltk.components.slots import Reader
from sltk.components.splitters.whitespace import WhitespaceSplitter
from sltk.components.writers import (
    BratWriter,
    ConllWriter,
    HtmlWriter,
    JsonlWriter,
    LabelStudioWriter,
    SpansWriter,
)
from sltk.data.changes import Changes, written
from sltk.data.conversion import Conversion
from sltk.data.datasets import load
from sltk.errors import DataError
from sltk.types import Sentence, Span

WORDS = ["New", "York", "City", "Hall", "opened", "."]
WRITERS = {
    "conll": (ConllWriter(), "out.conll"),
    "jsonl": (JsonlWriter(), "out.jsonl"),
    "brat": (BratWriter(), "out.txt"),
    "label_studio": (LabelStudioWriter(kind="annotations"), "out.json"),
}
SPANS = st.sets(
    st.tuples(st.integers(0, 5), st.integers(1, 6), st.sampled_from(["ORG", "LOC", "x-y:z"])).map(
        lambda place: Span(place[0], min(place[0] + place[1], len(WORDS)), place[2])
    ),
    max_size=7,
)


class ListReader(Reader):
    """Reads a list of sentences."""

    type_name: ClassVar[str] = "list"  # not registered, so that other tests do not see it
    sentences: list[Sentence]

    def read(self) -> Iterator[Sentence]:
        yield from self.sentences


def reader_of(form, path):
    if form == "conll":
        return ConllReader(path=path, separator="tab", scheme="layers", repair="error")
    if form == "jsonl":
        return JsonlReader(path=path, scheme="layers", repair="error")
    kind = BratReader if form == "brat" else LabelStudioReader
    return kind(path=path, splitter=WhitespaceSplitter())


def convert(form, folder, sentences, scheme=None):
    """Write sentences, and return the path and what was reported."""
    conversion = Conversion(ListReader(sentences=sentences), scheme)
    writer, name = WRITERS[form]
    writer.save(written(conversion.predictions(), writer, conversion.changes), folder / name)
    return folder / name, conversion.changes


@pytest.mark.parametrize("form", WRITERS)
@given(sets=st.lists(SPANS, min_size=1, max_size=3))
@settings(max_examples=10)
def test_spans_that_overlap_are_read_as_they_were_written(tmp_path_factory, form, sets):
    """Nested, crossing and equal words: every format holds all of them, and nothing is reported."""
    sentences = [Sentence(WORDS, spans=sorted(spans)) for spans in sets]
    path, changes = convert(form, tmp_path_factory.mktemp("forms"), sentences)
    assert changes.count == 0
    back = load(reader_of(form, path), "layers")
    assert [sentence.spans for sentence in back] == [sorted(spans) for spans in sets]


NESTED = [Sentence(WORDS, spans=[Span(0, 4, "ORG"), Span(0, 3, "LOC"), Span(0, 3, "LOC")])]


def test_columns_in_a_flat_scheme_count_what_they_lose(tmp_path):
    """In IOB2 a column has the longest span: the other is reported, and the scheme that holds both is named."""
    path, changes = convert("conll", tmp_path, [Sentence(WORDS, spans=NESTED[0].spans[:2])], "IOB2")
    assert path.read_text().startswith("New\tB-ORG\nYork\tI-ORG\n")
    (lost,) = changes.left_out
    assert (
        lost.reason
        == "`New York City` (LOC) overlaps a longer or an earlier span: the scheme layers holds both"
    )
    _, changes = convert("conll", tmp_path, NESTED, "layers")
    assert [item.reason for item in changes.left_out] == ["`New York City` (LOC) is annotated twice"]


@pytest.mark.parametrize("form", ["jsonl", "brat", "label_studio"])
def test_formats_with_spans_lose_none_in_a_flat_scheme(tmp_path, form):
    """The scheme of the tags does not matter to formats that hold spans, also those that are annotated twice."""
    path, changes = convert(form, tmp_path, NESTED, "IOB2")
    assert changes.count == 0
    (sentence,) = reader_of(form, path).read()
    assert sorted(sentence.spans) == sorted(NESTED[0].spans)


def test_layers_of_a_column_become_spans_of_another_format(tmp_path):
    """Tags in layers are read as all of their spans, also if the tags of the output are flat."""
    source = tmp_path / "in.conll"
    source.write_text("New\tB-ORG|B-LOC\nHall\tI-ORG\n")
    for scheme in (None, "BIOES"):
        (prediction,) = Conversion(ConllReader(path=source, separator="tab"), scheme).predictions()
        assert prediction.spans == [Span(0, 1, "LOC"), Span(0, 2, "ORG")]
    assert prediction.tags == ["B-ORG", "E-ORG"]


def test_a_type_with_the_separator_is_not_written_in_layers(tmp_path):
    """Spans that overlap are in IOB2 if a type holds the separator of layers, which `--scheme layers` refuses."""
    sentences = [Sentence(WORDS, spans=[Span(0, 4, "A|B"), Span(0, 2, "LOC")])]
    path, changes = convert("conll", tmp_path, sentences)
    assert (path.read_text()[:9], changes.count) == ("New\tB-A|B", 1)
    with pytest.raises(DataError, match=r"the type `A\|B` contains `\|`, which separates layers"):
        convert("conll", tmp_path, sentences, "layers")


@pytest.fixture
def brat(tmp_path):
    """A document with a discontinuous span, one that shares a part with it, and one over two lines."""
    (tmp_path / "d.txt").write_text("left and right ear hurt\nvery\nmuch\n")
    (tmp_path / "d.ann").write_text(
        "T1\tORGAN 0 4;15 18\tleft ear\nT2\tORGAN 9 18\tright ear\nT3\tSYMPTOM 19 23;29 33\thurt much\n"
    )
    return tmp_path / "d.ann"


def test_discontinuous_spans_are_read_by_choice(brat):
    """They are left out, read as one span, or as one per part, and each is reported."""
    expected = {
        "skip": [Span(2, 4, "ORGAN")],
        "hull": [Span(0, 4, "ORGAN"), Span(2, 4, "ORGAN"), Span(4, 7, "SYMPTOM")],
        "fragments": [
            Span(0, 1, "ORGAN"), Span(2, 4, "ORGAN"), Span(3, 4, "ORGAN"), Span(4, 5, "SYMPTOM"), Span(6, 7, "SYMPTOM"),
        ],
    }  # fmt: skip
    for how, spans in expected.items():
        data = load(BratReader(path=brat, discontinuous=how), "layers")
        assert data.sentences[0].spans == spans
        reports = [item for item in data.unused if "has 2 parts" in item.reason]
        assert [item.adjusted for item in reports] == [how != "skip"] * 2
        assert {item.type for item in reports} == ({"ORGAN", "SYMPTOM"} if how == "skip" else {None})


@pytest.mark.parametrize("how", ["hull", "fragments"])
@pytest.mark.parametrize("form", ["jsonl", "brat"])
def test_discontinuous_spans_are_written_back(brat, tmp_path, form, how):
    """brat and jsonl hold the parts, whichever way they were read, and their readers read the same again."""
    reader = BratReader(path=brat, discontinuous=how)
    writer, name = WRITERS[form]
    conversion = Conversion(reader)
    writer.save(written(conversion.predictions(), writer, conversion.changes), tmp_path / name)
    assert not any("written as" in item.reason for item in conversion.changes.adjusted)
    again = reader_of(form, tmp_path / name).model_copy(update={"discontinuous": how})
    first, second = (load(each, "layers").sentences[0].spans for each in (reader, again))
    assert first == second
    assert [span.fragments for span in first] == [span.fragments for span in second]
    if form == "brat":
        assert "T1\tORGAN 0 4;15 18\tleft ear\n" in (tmp_path / "out.ann").read_text()


@pytest.mark.parametrize("writer", [ConllWriter(), LabelStudioWriter(), SpansWriter(), HtmlWriter()])
def test_formats_without_parts_say_what_they_write(brat, writer):
    """A discontinuous span becomes one span in other formats, which is reported."""
    changes = Changes()
    list(
        writer.render(
            written(Conversion(BratReader(path=brat, discontinuous="hull")).predictions(), writer, changes)
        )
    )
    reasons = [item.reason for item in changes.adjusted]
    assert (
        "`left … ear` (ORGAN) is discontinuous, written as one span with everything between its parts"
        in reasons
    )


def test_other_readers_have_the_same_option(tmp_path):
    """CoNLL-U and WebAnno TSV give the same spans for the same annotation."""
    conllu = tmp_path / "d.conllu"
    entities = ["(e1[1/2]-ORGAN-1-)", "_", "(e2-ORGAN-1-", "(e1[2/2]-ORGAN-1-)e2)", "_"]
    words = ["left", "and", "right", "ear", "hurt"]
    lines = [
        f"{n}\t{word}\t_\tX\t_\t_\t0\troot\t_\t{'_' if entity == '_' else 'Entity=' + entity}"
        for n, (word, entity) in enumerate(zip(words, entities, strict=True), 1)
    ]
    conllu.write_text("# global.Entity = eid-etype-head-other\n" + "\n".join(lines) + "\n\n")
    webanno = tmp_path / "d.tsv"
    cells = ["ORGAN[1]", "_", "ORGAN[2]", "ORGAN[1]|ORGAN[2]", "_"]
    header = "#FORMAT=WebAnno TSV 3.3\n#T_SP=webanno.custom.Entity|value\n\n\n#Text=left and right ear hurt\n"
    at, rows = 0, []
    for number, (word, cell) in enumerate(zip(words, cells, strict=True), 1):
        rows.append(f"1-{number}\t{at}-{at + len(word)}\t{word}\t{cell}\t\n")
        at += len(word) + 1
    webanno.write_text(header + "".join(rows))
    hull, parts = [Span(0, 4, "ORGAN"), Span(2, 4, "ORGAN")], [
        Span(0, 1, "ORGAN"), Span(2, 4, "ORGAN"), Span(3, 4, "ORGAN"),
    ]  # fmt: skip
    for kind, path, keys in (
        (ConlluReader, conllu, {"column": "misc:Entity"}), (WebAnnoReader, webanno, {}),
    ):  # fmt: skip
        for how, expected in (("skip", hull[1:]), ("hull", hull), ("fragments", parts)):
            data = load(kind(path=path, discontinuous=how, **keys), "layers")
            assert data.sentences[0].spans == expected
            assert any("has 2 parts" in item.reason for item in data.unused)


def test_parts_of_a_jsonl_span_must_fit_it(tmp_path, capsys):
    """Parts that are no pairs, or do not reach from start to end, are an error with their place."""
    path = tmp_path / "in.jsonl"
    for parts in ("[[0, 2], [3, 4]]", "[[0, 2, 3]]", "[]", "7"):
        path.write_text(
            f'{{"text": "a b c d", "spans": [{{"start": 0, "end": 5, "type": "X", "fragments": {parts}}}]}}\n'
        )
        assert cli.main(["stats", str(path), "--reader", "jsonl"]) == 2
        assert "fragments" in capsys.readouterr().err
