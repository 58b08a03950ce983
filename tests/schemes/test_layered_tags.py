"""The scheme `layers`: tags that hold spans which overlap."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk import schemes
from sltk.schemes.detection import TagDetector
from sltk.schemes.labels import LabelSet
from sltk.types import Span

LENGTH = 7
ANY_SPANS = st.lists(
    st.tuples(st.integers(0, LENGTH - 1), st.integers(1, LENGTH), st.sampled_from(["A", "B-x", "c:d"])).map(
        lambda drawn: Span(drawn[0], min(drawn[0] + drawn[1], LENGTH), drawn[2])
    ),
    max_size=14,
)
PARTS = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])
ANY_TAGS = st.lists(st.lists(PARTS, min_size=1, max_size=3).map("|".join), max_size=6)


@given(ANY_SPANS, st.randoms())
def test_any_spans_survive_in_equal_tags(spans, shuffler):
    """Tags hold every distinct span, whatever overlaps, and do not depend on the order of the spans."""
    tags = schemes.encode(spans, LENGTH, "layers")
    expected = sorted(set(spans))
    for repair in ("conlleval", "drop", "error"):
        assert schemes.decode(tags, "layers", repair) == schemes.Decoded(expected, 0)
    for strict in (True, False):
        assert [Span(*chunk) for chunk in schemes.chunks(tags, "layers", strict=strict)] == expected
    shuffled = [*spans, *spans[:2]]
    shuffler.shuffle(shuffled)
    assert schemes.encode(shuffled, LENGTH, "layers") == tags
    assert not any(tag.endswith("|O") for tag in tags)


@given(ANY_SPANS)
def test_layers_hold_no_overlap_and_are_as_few_as_needed_for_nesting(spans):
    """The spans of a layer never overlap; spans that do not overlap at all have the tags of IOB2."""
    tags = schemes.encode(spans, LENGTH, "layers")
    layers = [schemes.chunks(layer, "IOB2", strict=True) for layer in schemes.split_layers(tags)]
    assert sorted(span for layer in layers for span in layer) == sorted(
        {(span.start, span.end, span.type) for span in spans}
    )
    assert all(layers) or not spans
    flat, _ = schemes.resolve_overlaps(set(spans))
    assert schemes.encode(flat, LENGTH, "layers") == schemes.encode(flat, LENGTH, "IOB2")
    assert schemes.encodable(spans, "layers")[0] == sorted(set(spans))


def test_nested_and_crossing_spans():
    """The longest span is on the first layer, one inside it on the next, and a crossing one where there is room."""
    spans = [Span(0, 4, "ORG"), Span(2, 4, "LOC"), Span(3, 5, "PER"), Span(2, 4, "ORG")]
    assert schemes.encode(spans, 5, "layers") == [
        "B-ORG",
        "I-ORG",
        "I-ORG|B-LOC|B-ORG",
        "I-ORG|I-LOC|I-ORG|B-PER",
        "O|O|O|I-PER",
    ]


@given(ANY_TAGS)
def test_any_tags_are_read_like_each_of_their_layers(tags):
    """Well-formed or not, the spans of tags are those of their layers, and written again they need no repair."""
    layers = schemes.split_layers(tags)
    for repair, strict in (("conlleval", False), ("drop", True)):
        decoded = schemes.decode(tags, "layers", repair)
        found = [chunk for layer in layers for chunk in schemes.chunks(layer, "IOB2", strict=strict)]
        assert [(span.start, span.end, span.type) for span in decoded.spans] == sorted(set(found))
        assert schemes.chunks(tags, "layers", strict=strict) == sorted(set(found))
        again = schemes.encode(decoded.spans, len(tags), "layers")
        assert schemes.decode(again, "layers", "error") == schemes.Decoded(decoded.spans, 0)
        is_clean = len(set(found)) == len(found) and not any(
            schemes.decode(layer, "IOB2", repair).repaired for layer in layers
        )
        assert is_clean == (decoded.repaired == 0)


@pytest.mark.parametrize(
    ("tags", "index", "message"),
    [
        (["O", "B-A|"], 1, r"`B-A\|` is not a tag of layers: expected tags of IOB2 joined by `\|`"),
        (["B-A|X"], 0, "is not a tag of layers"),
        (["B-A", "S-A"], 1, "is not a tag of layers"),
        (["O", "O|I-A"], 1, "ill-formed layers: expected `B-A`"),
        (["B-A", "O|B-B", "B-A|B-A"], 2, r"`?A\[2:3\]`? is annotated in two layers"),
    ],
)
def test_wrong_tags_are_errors_at_their_word(tags, index, message):
    """A tag that the scheme does not have is an error; with `error`, an ill-formed or repeated one too."""
    with pytest.raises(schemes.SchemeError, match=message) as caught:
        schemes.decode(tags, "layers", "error")
    assert caught.value.index == index


def test_a_type_cannot_contain_the_separator():
    """A type with `|` in it would read as another tag."""
    with pytest.raises(ValueError, match=r"the type `A\|B` contains `\|`, which separates layers"):
        schemes.encode([Span(0, 1, "A|B")], 1, "layers")


def test_conversion_to_a_flat_scheme_needs_a_decision():
    """Layers convert to and from IOB2 where no spans overlap; where some do, nothing is dropped silently."""
    assert schemes.convert(["B-A", "O|B-B", "O"], "layers", "IOB2") == (["B-A", "B-B", "O"], 0)
    assert schemes.convert(["I-A", "I-A", "B-A"], "IOB1", "layers") == (["B-A", "I-A", "B-A"], 0)
    with pytest.raises(ValueError, match="overlap"):
        schemes.convert(["B-A|B-B", "I-A"], "layers", "IOB2")


def test_labels_are_the_tags_of_one_layer():
    """A label set of this scheme has the tags, types and transitions of IOB2."""
    labels, flat = LabelSet.of_types(["A", "B"], "layers"), LabelSet.of_types(["A", "B"], "IOB2")
    assert labels.tags == flat.tags
    assert labels.types == ("A", "B")
    assert schemes.transitions(labels.tags, "layers") == schemes.transitions(flat.tags, "IOB2")


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-A|B-B", "I-A", "O"], "layers"),
        (["O|B-B", "O", "B-A"], "layers"),
        (["B-A", "I-A", "O"], "IOB2"),
        (["B-A|C", "I-A|C", "O"], "IOB2"),
        (["B-A|B-B", "E-A", "O"], "BIOES"),
    ],
)
def test_detection_needs_tags_of_two_layers(tags, scheme):
    """Tags are read as layers only if all parts of all tags are tags of IOB2, and one tag has two parts."""
    detector = TagDetector()
    detector.add(tags)
    assert detector.reading().scheme == detector.scheme() == scheme
    assert scheme != "layers" or detector.reading().warning is None


def test_many_types_of_spans_take_linear_time():
    """A thousand spans over the same hundred words are assigned and read again."""
    numbers = random.Random(1)
    spans = {
        Span(start, min(start + numbers.randint(1, 8), 100), f"T{numbers.randint(0, 9)}")
        for start in (numbers.randint(0, 99) for _ in range(1000))
    }
    tags = schemes.encode(spans, 100, "layers")
    assert schemes.decode(tags, "layers", "error").spans == sorted(spans)
