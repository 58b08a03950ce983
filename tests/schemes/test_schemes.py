"""Tag schemes: conversion of tags to spans and back."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Tokens

from sltk import schemes
from sltk.schemes.labels import LabelSet
from sltk.types import Span

SPAN_SCHEMES = ("IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES")
SEQEVAL = {"IOB1": IOB1, "IOB2": IOB2, "BIOES": IOBES, "BILOU": BILOU}
TYPES = ["A", "B", "left-right", "x:y"]

# One sentence of seven words in every scheme: A over two words, A over one, then O, then B over three.
SPANS = [Span(0, 2, "A"), Span(2, 3, "A"), Span(4, 7, "B")]
WRITTEN = {
    "IOB1": "I-A I-A B-A O I-B I-B I-B",
    "IOB2": "B-A I-A B-A O B-B I-B I-B",
    "BIOES": "B-A E-A S-A O B-B I-B E-B",
    "BILOU": "B-A L-A U-A O B-B I-B L-B",
    "BMES": "B-A E-A S-A O B-B M-B E-B",
}


def random_tags(scheme: str, types: list[str] = TYPES) -> st.SearchStrategy[list[str]]:
    """Sequences of tags of the scheme, well-formed or not."""
    return st.lists(st.sampled_from(schemes.tags_of(types, scheme)), max_size=12)


@st.composite
def random_spans(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Non-overlapping spans, and the length of their sentence."""
    spans, at = [], 0
    for gap, length, type_ in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(TYPES)), max_size=6)
    ):
        spans.append(Span(at + gap, at + gap + length, type_))
        at += gap + length
    return spans, at + draw(st.integers(0, 2))


@pytest.mark.parametrize("scheme", WRITTEN)
def test_each_scheme_writes_and_reads_the_same_spans(scheme):
    """The example of each scheme is what `encode` writes and `decode` reads, without repairs."""
    assert schemes.encode(SPANS, 7, scheme) == WRITTEN[scheme].split()
    for repair in ("conlleval", "drop", "error"):
        assert schemes.decode(WRITTEN[scheme].split(), scheme, repair) == schemes.Decoded(SPANS, 0)


@pytest.mark.parametrize(("source", "target"), list(product(WRITTEN, WRITTEN)))
def test_conversion_keeps_the_spans(source, target):
    """Every scheme except IO converts to every other without loss."""
    assert schemes.convert(WRITTEN[source].split(), source, target) == (WRITTEN[target].split(), 0)


@pytest.mark.parametrize("scheme", WRITTEN)
@given(random_spans())
def test_round_trip(scheme, spans_and_length):
    """Any non-overlapping spans can be decoded from their tags."""
    spans, length = spans_and_length
    tags = schemes.encode(spans[::-1], length, scheme)
    assert schemes.decode(tags, scheme, "error") == schemes.Decoded(spans, 0)


@given(random_spans())
def test_io_loses_only_the_spans_listed_by_merged(spans_and_length):
    """IO merges a span with an adjacent one of its type, and `merged` lists these."""
    spans, length = spans_and_length
    read = schemes.decode(schemes.encode(spans, length, "IO"), "IO").spans
    assert len(read) == len(spans) - len(schemes.merged(spans))
    assert {word for span in read for word in range(span.start, span.end)} == {
        word for span in spans for word in range(span.start, span.end)
    }


@pytest.mark.parametrize("scheme", SEQEVAL)
@given(st.data())
def test_drop_is_seqevals_strict_mode(scheme, data):
    """`drop` reads exactly the entities of seqeval's strict mode, in any sequence."""
    tags = data.draw(random_tags(scheme))
    theirs = [(entity.start, entity.end, entity.tag) for entity in Tokens(tags, SEQEVAL[scheme]).entities]
    spans = schemes.decode(tags, scheme, "drop").spans
    assert [(span.start, span.end, span.type) for span in spans] == theirs
    assert schemes.chunks(tags, scheme, strict=True) == theirs


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IO", "BIOES"])
@given(st.data())
def test_conlleval_is_seqevals_default_mode(scheme, data):
    """`conlleval` reads exactly the entities of seqeval without a mode, in any sequence."""
    tags = data.draw(random_tags(scheme))
    theirs = [(start, end + 1, type_) for type_, start, end in get_entities(tags)]
    assert [(span.start, span.end, span.type) for span in schemes.decode(tags, scheme).spans] == theirs


@pytest.mark.parametrize("scheme", SPAN_SCHEMES)
@given(st.data())
def test_conlleval_leaves_no_tagged_word_out(scheme, data):
    """With `conlleval` every word except O is in a span, and its output needs no more repairs."""
    tags = data.draw(random_tags(scheme))
    decoded = schemes.decode(tags, scheme)
    assert sum(span.end - span.start for span in decoded.spans) == sum(tag != "O" for tag in tags)
    again, repaired = schemes.convert(tags, scheme, scheme)
    assert repaired == sum(a != b for a, b in zip(tags, again, strict=True)) == decoded.repaired
    assert schemes.convert(again, scheme, scheme, "error") == (again, 0)


@pytest.mark.parametrize("scheme", SPAN_SCHEMES)
def test_transitions_allow_exactly_the_well_formed(scheme):
    """`error` accepts a sequence if and only if every transition of it is allowed."""
    tags = schemes.tags_of(["A", "B"], scheme)
    start, pairs, end = schemes.transitions(tags, scheme)
    for sequence in (s for length in (1, 2, 3) for s in product(range(len(tags)), repeat=length)):
        steps = all(pairs[a][b] for a, b in pairwise(sequence))
        allowed = start[sequence[0]] and steps and end[sequence[-1]]
        words = [tags[number] for number in sequence]
        assert allowed == (schemes.decode(words, scheme).repaired == 0), words
        assert allowed == (not raises_scheme_error(words, scheme)), words


def raises_scheme_error(tags: list[str], scheme: str) -> bool:
    try:
        schemes.decode(tags, scheme, "error")
    except schemes.SchemeError:
        return True
    return False


def test_plain_tags_may_follow_each_other_freely():
    """Any string is a plain tag, and any may follow any other."""
    assert schemes.decode(["NOUN", "B-x", "", "O"], "plain", "error") == schemes.Decoded([], 0)
    assert schemes.transitions(["X", "Y"], "plain") == ([True] * 2, [[True] * 2] * 2, [True] * 2)
    assert schemes.tags_of(["VERB", "NOUN"], "plain") == ["VERB", "NOUN"]
    assert schemes.convert(["B-A", "?"], "IOB2", "plain") == (["B-A", "?"], 0)


@pytest.mark.parametrize("target", SPAN_SCHEMES)
def test_plain_tags_do_not_become_spans(target):
    """Plain tags cannot be converted to a scheme of spans, nor spans to plain tags."""
    with pytest.raises(ValueError, match="plain tags"):
        schemes.convert(["NOUN"], "plain", target)
    with pytest.raises(ValueError, match="plain tags"):
        schemes.encode([], 1, "plain")


@pytest.mark.parametrize(
    ("scheme", "tags", "conlleval", "drop", "repaired"),
    [
        ("IOB2", "O I-A I-A O", [(1, 3, "A")], [], (1, 2)),
        ("IOB2", "B-A I-B O", [(0, 1, "A"), (1, 2, "B")], [(0, 1, "A")], (1, 1)),
        ("IOB1", "O B-A I-A O", [(1, 3, "A")], [(2, 3, "A")], (1, 1)),
        ("BIOES", "B-A O", [(0, 1, "A")], [], (1, 1)),
        ("BIOES", "B-A E-A E-A", [(0, 2, "A"), (2, 3, "A")], [(0, 2, "A")], (1, 1)),
        ("BILOU", "I-A I-A", [(0, 2, "A")], [], (2, 2)),
        ("BMES", "M-A E-A S-A", [(0, 2, "A"), (2, 3, "A")], [(2, 3, "A")], (1, 2)),
        ("IO", "I-A I-A I-B", [(0, 2, "A"), (2, 3, "B")], [(0, 2, "A"), (2, 3, "B")], (0, 0)),
    ],
)
def test_ill_formed_sequences(scheme, tags, conlleval, drop, repaired):
    """The spans that `conlleval` and `drop` read from an ill-formed sequence, and the number of repaired words."""
    for repair, spans, count in (("conlleval", conlleval, repaired[0]), ("drop", drop, repaired[1])):
        decoded = schemes.decode(tags.split(), scheme, repair)
        assert decoded == schemes.Decoded([Span(*span) for span in spans], count)


def test_error_names_the_first_ill_formed_word():
    """`error` names the word, its neighbours, and the expected tag."""
    with pytest.raises(
        schemes.SchemeError, match=r"`I-A` after `O` and before `I-A`.*IOB2: expected `B-A`"
    ) as caught:
        schemes.decode(["B-B", "O", "I-A", "I-A"], "IOB2", "error")
    assert caught.value.index == 2


@pytest.mark.parametrize("tag", ["X-PER", "B_PER", "B-", "B", "b-PER", "E-PER", "PER", "O-PER", "", "-PER"])
@pytest.mark.parametrize("repair", ["conlleval", "drop", "error"])
def test_tags_that_the_scheme_lacks(tag, repair):
    """A tag that is not in the scheme is an error with its index, for any repair."""
    with pytest.raises(schemes.SchemeError, match="is not a tag of IOB2, whose tags are B-TYPE") as caught:
        schemes.decode(["O", tag], "IOB2", repair)
    assert caught.value.index == 1


def test_bmewo_is_read_as_bmes():
    """`W-`, which BMEWO writes for a single-word span, is read as BMES and written as `S-`."""
    assert schemes.decode(["W-A", "O"], "BMES", "error") == schemes.Decoded([Span(0, 1, "A")], 0)
    assert schemes.convert(["W-A", "O"], "BMES", "BMES") == (["S-A", "O"], 0)
    assert schemes.detect([["W-A", "O", "B-A", "M-A", "E-A"]]) == "BMES"


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 3, "A"), Span(2, 4, "B")], r"A\[0:3\] and B\[2:4\] overlap"),
        ([Span(1, 2, "A"), Span(1, 2, "A")], r"A\[1:2\] and A\[1:2\] overlap"),
        ([Span(0, 5, "A")], r"A\[0:5\].*4 words"),
        ([Span(2, 2, "A")], r"A\[2:2\]"),
        ([Span(-1, 1, "A")], r"A\[-1:1\]"),
        ([Span(0, 1, "")], "no type"),
    ],
)
def test_spans_that_tags_cannot_encode(spans, message):
    """Errors name both overlapping spans, and an invalid span."""
    with pytest.raises(ValueError, match=message):
        schemes.encode(spans, 4, "IOB2")


@pytest.mark.parametrize("scheme", WRITTEN)
def test_detects_each_scheme(scheme):
    """A data set with every kind of tag is distinguished from all other schemes."""
    assert schemes.detect([WRITTEN[scheme].split(), ["O"]]) == scheme


@pytest.mark.parametrize(
    ("sequences", "scheme"),
    [
        ([], "IOB2"),
        ([["O", "O"], []], "IOB2"),
        ([["B-A", "O"]], "IOB2"),
        ([["I-A", "I-A", "O", "I-B"]], "IOB1"),
        ([["I-A", "O"], ["I-A", "O", "I-B"], ["O", "B-A", "O"]], "IOB1"),
        ([["B-A", "I-A", "O"], ["B-A", "O", "B-B"], ["O", "I-A", "O"]], "IOB2"),
        ([["S-A", "O"]], "BIOES"),
        ([["NOUN", "VERB"], ["O"]], "plain"),
        ([["NOUN", "VERB", "S-adj"]], "plain"),
    ],
)
def test_detection_counts_ill_formed_words(sequences, scheme):
    """Ambiguous data is IOB2, I- alone is IOB1, and a few errors do not matter."""
    assert schemes.detect(sequences) == scheme


@pytest.mark.parametrize("slip", ["B_A", "E-A", "X-A"])
def test_a_slip_does_not_change_the_scheme(slip):
    """A single misspelt tag does not change the detected scheme; `decode` reports it."""
    data = [["B-A", "I-A", "O", "B-A"]] * 5 + [[slip]]
    assert schemes.detect(iter(data)) == "IOB2"


def test_resolve_overlaps_takes_the_longest_then_the_leftmost():
    """Of overlapping spans the longest is kept, then the leftmost, then the first type in alphabetical order."""
    spans = [
        Span(0, 2, "A"),
        Span(1, 4, "B"),
        Span(3, 6, "C"),
        Span(6, 7, "E"),
        Span(6, 7, "D"),
        Span(4, 5, "A"),
    ]
    kept, dropped = schemes.resolve_overlaps(spans)
    assert kept == [Span(1, 4, "B"), Span(4, 5, "A"), Span(6, 7, "D")]
    assert dropped == [Span(0, 2, "A"), Span(3, 6, "C"), Span(6, 7, "E")]


any_span = st.builds(
    lambda start, length, type_: Span(start, start + length, type_),
    st.integers(0, 9),
    st.integers(1, 5),
    st.sampled_from("AB"),
)


@given(st.lists(any_span, max_size=12), st.randoms())
def test_resolve_overlaps_ignores_order_and_loses_nothing(spans, random):
    """Kept spans can be encoded, every span is kept or dropped, and the order of spans is irrelevant."""
    kept, dropped = schemes.resolve_overlaps(spans)
    schemes.encode(kept, 20, "IOB2")
    assert sorted(kept + dropped) == sorted(spans)
    assert all(any(d.start < k.end and k.start < d.end for k in kept) for d in dropped)
    shuffled = random.sample(spans, len(spans))
    assert schemes.resolve_overlaps(shuffled) == (kept, dropped)


def test_label_set_numbers_the_tags():
    """A label set has O first, then each tag once, by type in alphabetical order."""
    labels = LabelSet.of_types(["B", "A", "B"], "BIOES")
    assert labels.tags == ("O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B")
    assert labels.index["E-A"] == 3
    assert len(labels) == 9
    assert LabelSet.plain(["VERB", "NOUN", "VERB"]).tags == ("NOUN", "VERB")


def column(path: Path, number: int) -> list[list[str]]:
    """One column of a file, by sentence."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    rows = [
        [line.split() for line in block.splitlines() if line and "-DOCSTART-" not in line] for block in blocks
    ]
    return [[fields[number] for fields in block] for block in rows if block]


@pytest.mark.parametrize(
    ("file", "scheme", "spans", "repaired"),
    [
        ("conll2003/eng.train", "IOB1", 23499, 2),
        ("conll2003/eng.testa", "IOB1", 5942, 0),
        ("conll2003/eng.testb", "IOB1", 5648, 0),
        ("conll2000/train.txt", "IOB2", 106978, 0),
        ("conll2000/test.txt", "IOB2", 23852, 0),
    ],
)
def test_corpora_are_detected_and_counted(corpora, file, scheme, spans, repaired):
    """The files of the shared tasks have their published numbers of spans in the detected scheme."""
    sequences = column(corpora / file, -1)
    assert schemes.detect(sequences) == scheme
    decoded = [schemes.decode(tags, scheme) for tags in sequences]
    assert sum(len(one.spans) for one in decoded) == spans
    assert sum(one.repaired for one in decoded) == repaired


def test_the_labels_of_stored_models_are_clean():
    """A model that was trained before labels were cleaned labels like its data reads now."""
    assert LabelSet.stored(["O", "B-A\u200b", "I-A\u200b"], "IOB2") == LabelSet(("O", "B-A", "I-A"), "IOB2")
    for tags in (["O", "B-A"], ["O", "B-A", "B-A "], ["O", "\u200b"]):
        assert LabelSet.stored(tags, "plain").tags == tuple(tags)
