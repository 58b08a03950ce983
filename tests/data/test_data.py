"""Loading of data sets: schemes, repairs, splits, and errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk import Reader, schemes
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.holdout import HoldoutReader
from sltk.components.readers.text import TextReader
from sltk.components.registry import registry
from sltk.components.writers import ConllWriter, JsonlWriter
from sltk.data.conversion import Conversion
from sltk.data.datasets import label_set, load, to_dataset, unseen_types
from sltk.data.raw import raw_examples
from sltk.data.splits import load_splits
from sltk.errors import DataError
from sltk.types import Sentence, Span


class InMemoryReader(Reader):
    """Sentences of a test."""

    # A name without a registration: other tests see the registry as it is.
    type_name: ClassVar[str] = "in_memory"
    sentences: list[Sentence]

    def read(self) -> Iterator[Sentence]:
        yield from self.sentences


class TsvReader(Reader):
    """One `word<TAB>tag` per line, a blank line between sentences: a reader as a user would write it."""

    type_name: ClassVar[str] = "tsv"
    path: Path

    def read(self) -> Iterator[Sentence]:
        for block in self.path.read_text(encoding="utf-8").strip().split("\n\n"):
            pairs = [line.split("\t") for line in block.splitlines()]
            yield Sentence([word for word, _ in pairs], [tag for _, tag in pairs])


@dataclass
class Splits:
    """The readers of a spec."""

    train: Reader | None = None
    validation: Reader | None = None
    test: Reader | None = None


def tagged(*tags: str) -> InMemoryReader:
    """A reader with one sentence per string of tags."""
    rows = [line.split() for line in tags]
    return InMemoryReader(
        sentences=[Sentence([f"w{number}" for number in range(len(row))], row) for row in rows]
    )


def conll(tmp_path: Path, *tags: str, name: str = "x.conll", **options: object) -> ConllReader:
    path = tmp_path / name
    path.write_text(
        "\n".join("".join(f"w{i} {tag}\n" for i, tag in enumerate(line.split())) for line in tags)
    )
    return ConllReader(path=path, **options)


UNIVERSAL = "".join(
    f"{number}\t{form}\t_\tX\t_\t_\t_\t_\t_\t{misc}\n"
    for number, form, misc in [
        ("1", "a", "Name=B-A"), ("2-3", "bc", "_"), ("2", "b", "_"), ("3", "c", "Name=X-A"),
    ]
)  # fmt: skip


def error_message(call, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES", "BILOU", "BMES"])
@pytest.mark.parametrize("target", ["IOB1", "IOB2", "BIOES", "BILOU", "BMES"])
def test_any_scheme_is_converted_to_the_models(scheme, target):
    """The scheme is detected, and the spans are the same in the model's scheme."""
    spans = [[Span(0, 3, "A"), Span(3, 4, "A"), Span(5, 6, "B")], [Span(1, 3, "B")], []]
    sentences = [Sentence(list("abcdef"), schemes.encode(row, 6, scheme)) for row in spans]
    data = load(InMemoryReader(sentences=sentences), target)
    assert (data.read_scheme, data.repaired) == (scheme, 0)
    assert [sentence.spans for sentence in data] == spans
    assert [sentence.tags for sentence in data] == [schemes.encode(row, 6, target) for row in spans]


def test_a_readers_words_text_and_places_are_kept():
    """Only the annotation changes in the conversion."""
    sentence = Sentence(["a"], ["I-X"], None, "a", [(0, 1)], "file", 7, "doc")
    (result,) = load(InMemoryReader(sentences=[sentence]), "IOB2")
    assert result == Sentence(["a"], ["B-X"], [Span(0, 1, "X")], "a", [(0, 1)], "file", 7, "doc")
    assert sentence.tags == ["I-X"]


def test_a_custom_reader(tmp_path):
    """For a custom `Reader`, too, the scheme is detected and tags are repaired."""
    path = tmp_path / "x.tsv"
    path.write_text("In\tO\nRome\tB-LOC\n\nof\tO\nOslo\tI-LOC\nnow\tO\n\nAda\tB-PER\nBee\tI-PER\nCo\tB-PER\n")
    data = load(TsvReader(path=path), "IOB2")
    assert [sentence.tags for sentence in data] == [
        ["O", "B-LOC"],
        ["O", "B-LOC", "O"],
        ["B-PER", "I-PER", "B-PER"],
    ]
    assert (data.read_scheme, data.repaired) == ("IOB2", 1)
    path.write_text("a\tO\n\nRome\tLOC\n\nb\tB-LOC\n\nc\tB-LOC\n")
    assert f"{path}\n" in error_message(load, TsvReader(path=path), "IOB2") + "\n"


@pytest.mark.parametrize(
    ("repair", "spans", "repaired"),
    [("conlleval", [Span(1, 3, "X")], 1), ("drop", [], 2)],
)
def test_repair_is_the_readers_option(tmp_path, repair, spans, repaired):
    """A stray I- opens a span or is dropped, and is counted."""
    data = load(conll(tmp_path, "O I-X I-X", scheme="IOB2", repair=repair), "IOB2")
    assert data.sentences[0].spans == spans
    assert data.repaired == repaired


def test_repair_may_be_an_error(tmp_path):
    """`repair: error` names the file and the line of the word."""
    reader = conll(tmp_path, "O O", "O I-X I-X", scheme="IOB2", repair="error")
    assert f"{reader.path}:5" in error_message(load, reader, "IOB2")


def test_a_tag_that_is_not_in_the_scheme(tmp_path):
    """The error names file and line, the tags of the scheme, and the nearest tag of the data."""
    reader = conll(tmp_path, "B-PER I-PER O", "O BPER O", "B-PER O")
    error = error_message(load, reader, "IOB2")
    assert f"{reader.path}:6" in error
    assert "`BPER` is not a tag of IOB2, whose tags are B-TYPE, I-TYPE and O" in error
    assert "did you mean `B-PER`?" in error
    declared = conll(tmp_path, "B-X E-X", scheme="IOB2")
    assert "`E-X` is not a tag of IOB2" in error_message(load, declared, "IOB2")


@pytest.mark.parametrize(
    ("reader", "content", "options", "line"),
    [
        (ConllReader, "a O\n# mid\nb B-A\n# mid\nc X-A\n", {"comment": "#"}, 5),
        (ConlluReader, UNIVERSAL, {"column": "misc:Name", "scheme": "IOB2"}, 4),
    ],
)
def test_a_bad_tag_has_its_own_line(tmp_path, reader, content, options, line):
    """The line is correct with comments, and with rows that are not words, inside a sentence."""
    path = tmp_path / "x"
    path.write_text(content)
    error = error_message(load, reader(path=path, **options), "IOB2")
    assert "X-A" in error
    assert f"{path}:{line}" in error


def test_plain_tags_need_a_plain_scheme(tmp_path):
    """Parts of speech for a scheme of spans are an error with advice; with `scheme: plain` they are unchanged."""
    reader = conll(tmp_path, "DET NOUN VERB")
    assert "`scheme: plain`" in error_message(load, reader, "IOB2")
    data = load(reader, "plain")
    assert (data.sentences[0].tags, data.sentences[0].spans) == (["DET", "NOUN", "VERB"], None)
    assert label_set(data).tags == ("DET", "NOUN", "VERB")


def test_tags_of_spans_as_plain_tags():
    """With `scheme: plain` any tags are unchanged, including ill-formed ones; spans cannot be converted."""
    assert load(tagged("O I-X B-X"), "plain").sentences[0].tags == ["O", "I-X", "B-X"]
    spans = InMemoryReader(sentences=[Sentence(["a"], spans=[])])
    assert "`scheme: IOB2`" in error_message(load, spans, "plain")


def test_overlapping_spans_are_resolved_and_reported():
    """The longer span is kept; the other is reported with its file, line and words."""
    sentence = Sentence(list("abcd"), spans=[Span(1, 2, "B"), Span(0, 3, "A")], file="f", line=9)
    data = load(InMemoryReader(sentences=[sentence]), "IOB2")
    assert data.sentences[0].tags == ["B-A", "I-A", "I-A", "O"]
    (unused,) = data.unused
    assert (unused.file, unused.line, unused.type) == ("f", 9, "B")
    assert "`b`" in unused.reason


def test_io_merges_adjacent_spans_of_one_type():
    """In IO, spans that are merged are reported."""
    data = load(tagged("B-X B-X I-X B-Y"), "IO")
    assert data.sentences[0].tags == ["I-X", "I-X", "I-X", "I-Y"]
    assert [unused.type for unused in data.unused] == ["X"]


@pytest.mark.parametrize("span", [Span(0, 3, "A"), Span(-1, 1, "A"), Span(1, 1, "A"), Span(0, 1, "")])
def test_invalid_spans(span):
    """A span outside its sentence, or without a type, is an error with file and line."""
    sentences = [Sentence(["a", "b"], spans=[span], file="f", line=4)]
    assert "f:4" in error_message(load, InMemoryReader(sentences=sentences), "IOB2")


def test_no_sentences_and_no_annotation(tmp_path):
    """An empty file, text without annotation, and partly annotated sentences are errors."""
    (tmp_path / "empty").write_text("\n\n")
    assert "no sentences" in error_message(load, ConllReader(path=tmp_path / "empty"), "IOB2")
    (tmp_path / "text").write_text("some text\n")
    assert "`text` finds no tags" in error_message(load, TextReader(path=tmp_path / "text"), "IOB2")
    mixed = InMemoryReader(sentences=[Sentence(["a"], ["O"]), Sentence(["b"], file="f", line=3)])
    assert "f:3" in error_message(load, mixed, "IOB2")


def test_limit():
    """At most `limit` sentences are read from the source."""
    reader = tagged("O", "O", "O").model_copy(update={"limit": 2})
    assert len(load(reader, "IOB2")) == 2


def test_splits_and_holdout():
    """`holdout` takes its sentences out of train, regardless of which splits are requested."""
    train = tagged(*(f"B-T{number}" for number in range(20)))
    spec = Splits(train, HoldoutReader(count=4), tagged("B-T0"))
    splits = load_splits(spec, "IOB2")
    assert {name: len(data) for name, data in splits.items()} == {"train": 16, "validation": 4, "test": 1}
    assert not set(unseen_types(splits["train"], splits["validation"])) & set(label_set(splits["train"]).tags)
    assert len(unseen_types(splits["train"], splits["validation"])) == 4
    for name in splits:
        assert load_splits(spec, "IOB2", [name]) == {name: splits[name]}


def test_two_holdouts_share_nothing():
    """Validation and test may both be held out of train."""
    spec = Splits(tagged(*["B-X"] * 10), HoldoutReader(count=2), HoldoutReader(count=3, seed=1))
    assert [len(data) for data in load_splits(spec, "IOB2").values()] == [5, 2, 3]


def test_holdout_detects_the_scheme_from_all_of_train():
    """Sentences held out are read in the scheme detected for all of train."""
    train = tagged(*["I-X B-X O"] * 9, "I-X O O")
    splits = load_splits(Splits(train, HoldoutReader(count=1)), "IOB2")
    assert {data.read_scheme for data in splits.values()} == {"IOB1"}
    assert {data.repaired for data in splits.values()} == {0}


def test_bad_splits():
    """A split that the spec lacks, and a holdout without train, are errors."""
    assert "no test data" in error_message(load_splits, Splits(tagged("O")), "IOB2", ["test"])
    spec = SimpleNamespace(train=None, validation=HoldoutReader(), test=None)
    assert "no train data" in error_message(load_splits, spec, "IOB2")


def test_labels_and_unseen_types():
    """Labels are those of the types in train; other types in another split are listed."""
    train, test = load(tagged("B-A I-A O"), "BIOES"), load(tagged("B-B B-A"), "BIOES")
    assert label_set(train).tags == ("O", "B-A", "I-A", "E-A", "S-A")
    assert unseen_types(train, test) == ["B"]
    assert unseen_types(load(tagged("DET"), "plain"), load(tagged("DET ADV"), "plain")) == ["ADV"]


@pytest.mark.parametrize("name", list(registry.slot("reader")))
def test_every_readers_example_can_be_trained_on(name):
    """The examples that replace missing files are well-formed data sets, or text."""
    reader = registry.find("reader", name)
    sentences = reader.example()
    assert sentences
    if sentences[0].tags is None and sentences[0].spans is None:
        return
    source = raw_examples(reader.model_construct(scheme="IOB1", repair="error"))
    data = to_dataset(source, "plain" if source.scheme == "plain" else "IOB2")
    assert len(data) == len(sentences)
    assert data.repaired == 0
    assert label_set(data).tags


def test_conversion_keeps_everything_that_the_writer_supports():
    """Tags in the requested scheme, overlapping spans if the format supports them, and no gold column."""
    reader = InMemoryReader(sentences=[Sentence(["a", "b", "c"], spans=[Span(0, 2, "X"), Span(1, 2, "Y")])])
    assert (
        "".join(ConllWriter().render(Conversion(reader, "BIOES").predictions())) == "a\tB-X\nb\tE-X\nc\tO\n\n"
    )
    (line,) = JsonlWriter().render(Conversion(reader).predictions())
    assert '"type": "Y"' in line
    assert '"tag": "I-X|B-Y"' in line
    assert "".join(ConllWriter().render(Conversion(tagged("VERB")).predictions())) == "w0\tVERB\n\n"


SPANS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from(["A", "B"])), max_size=4)


def laid_out(rows: list[tuple[int, int, str]]) -> tuple[list[Span], int]:
    """Non-overlapping spans, and the length of the sentence."""
    spans, end = [], 0
    for gap, length, type_ in rows:
        spans.append(Span(end + gap, end + gap + length, type_))
        end += gap + length
    return spans, end + 1


@given(st.lists(SPANS, min_size=1), st.sampled_from(["IOB1", "IOB2", "BIOES", "BILOU", "BMES"]))
def test_conversion_round_trip(tmp_path_factory, rows, scheme):
    """Spans survive a round trip through any scheme."""
    layouts = [laid_out(row) for row in rows]
    sentences = [Sentence(["w"] * length, spans=spans) for spans, length in layouts]
    path = tmp_path_factory.mktemp("there") / "x.conll"
    path.write_text(
        "".join(ConllWriter().render(Conversion(InMemoryReader(sentences=sentences), scheme).predictions()))
    )
    result = load(ConllReader(path=path, separator="tab", scheme=scheme, repair="error"), "IOB2")
    assert [sentence.spans for sentence in result] == [spans for spans, _ in layouts]
