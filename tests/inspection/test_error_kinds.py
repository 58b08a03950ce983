"""Kinds of errors: computed by hand, and each span in exactly one kind."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk.inspection.error_kinds import KINDS, compare_spans, count_kinds

CASES = {
    "equal spans are correct": ([(0, 2, "PER")], [(0, 2, "PER")], ["correct"]),
    "nothing predicted": ([(0, 2, "PER")], [], ["missed"]),
    "nothing annotated": ([], [(0, 2, "PER")], ["spurious"]),
    "apart": ([(0, 2, "PER")], [(2, 4, "PER")], ["missed", "spurious"]),
    "same words": ([(0, 2, "PER")], [(0, 2, "ORG")], ["wrong type"]),
    "start": ([(0, 3, "PER")], [(1, 3, "PER")], ["wrong start"]),
    "end": ([(0, 3, "PER")], [(0, 4, "PER")], ["wrong end"]),
    "start and end": ([(1, 4, "PER")], [(0, 3, "PER")], ["wrong start and end"]),
    "type and end": ([(0, 3, "PER")], [(0, 2, "ORG")], ["wrong type and boundaries"]),
    "split": ([(0, 4, "PER")], [(0, 2, "PER"), (3, 4, "LOC")], ["split"]),
    "split in three": ([(0, 4, "PER")], [(0, 1, "PER"), (1, 2, "PER"), (3, 4, "PER")], ["split"]),
    "merged": ([(0, 2, "PER"), (3, 5, "PER")], [(0, 5, "PER")], ["merged"]),
    # One word of three is inside: not a part.
    "half outside": (
        [(0, 4, "PER")],
        [(0, 3, "PER"), (3, 6, "LOC")],
        ["wrong end", "spurious"],
    ),
    # The first predicted span matches the first gold span, and the second one the second.
    "shifted border": (
        [(0, 2, "PER"), (2, 4, "PER")],
        [(0, 3, "PER"), (3, 4, "PER")],
        ["wrong end", "wrong start"],
    ),
    # Of two predicted spans, the one of the same type is the pair.
    "nested: missed inside": ([(0, 5, "ORG"), (0, 1, "LOC")], [(0, 5, "ORG")], ["missed", "correct"]),
    # Both inner spans have better matches than the outer one, which is missed and not split.
    "nested: boundaries inside": (
        [(0, 10, "ORG"), (0, 2, "LOC"), (5, 7, "PER")],
        [(0, 3, "LOC"), (5, 8, "PER")],
        ["wrong end", "missed", "wrong end"],
    ),
    "nested: two types": (
        [(0, 2, "GPE"), (0, 2, "LOC")],
        [(0, 2, "GPE"), (0, 2, "ORG")],
        ["correct", "wrong type"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds_are_those_computed_by_hand(case):
    """The kinds of small examples are the expected ones, in order of the sentence."""
    gold, predicted, kinds = CASES[case]
    assert [each.kind for each in compare_spans(gold, predicted)] == kinds


def test_a_split_mirrors_a_merge():
    """With gold and predicted spans exchanged, split and merged, missed and spurious change places."""
    mirror = {"split": "merged", "merged": "split", "missed": "spurious", "spurious": "missed"}
    for gold, predicted, _ in CASES.values():
        one = Counter(mirror.get(each.kind, each.kind) for each in compare_spans(gold, predicted))
        assert one == Counter(each.kind for each in compare_spans(predicted, gold))


spans = st.sets(
    st.builds(
        lambda start, length, type_: (start, start + length, type_),
        st.integers(0, 9),
        st.integers(1, 5),
        st.sampled_from(["A", "B"]),
    ),
    max_size=7,
)


@given(spans, spans)
def test_each_span_has_exactly_one_kind(gold, predicted):
    """Every gold and every predicted span, also of overlapping ones, is in one comparison; counts add up."""
    found = compare_spans(gold, predicted)
    assert sorted(span for each in found for span in each.gold) == sorted(gold)
    assert sorted(span for each in found for span in each.predicted) == sorted(predicted)
    rows = count_kinds(found)
    assert [row.kind for row in rows] == list(KINDS)
    assert sum(row.gold for row in rows) == len(gold)
    assert sum(row.predicted for row in rows) == len(predicted)
    assert rows[0].number == len(gold & predicted)


@given(spans, spans)
def test_kinds_mean_what_they_say(gold, predicted):
    """Types, boundaries and numbers of spans are those of the kind."""
    for each in compare_spans(gold, predicted):
        sizes = (len(each.gold), len(each.predicted))
        if each.kind in ("missed", "spurious"):
            assert sizes == ((1, 0) if each.kind == "missed" else (0, 1))
        elif each.kind in ("split", "merged"):
            assert sizes[each.kind == "merged"] == 1
            assert min(sizes) == 1 < max(sizes)
        else:
            ((start, end, type_),), ((start_2, end_2, type_2),) = each.gold, each.predicted
            assert start < end_2
            assert start_2 < end
            expected = {
                (True, True, True): "correct",
                (True, True, False): "wrong type",
                (True, False, True): "wrong end",
                (False, True, True): "wrong start",
                (False, False, True): "wrong start and end",
            }
            same = (start == start_2, end == end_2, type_ == type_2)
            assert each.kind == expected.get(same, "wrong type and boundaries")
