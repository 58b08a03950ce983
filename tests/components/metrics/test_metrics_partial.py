"""The metric `partial`: pairing of spans independent of their order, and the four comparisons of SemEval-2013."""

from __future__ import annotations

import json
from itertools import combinations, pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import schemes
from sltk.components.metrics import PartialMetric, SeqevalMetric
from sltk.components.metrics.matching import match_spans
from sltk.components.metrics.partial import table
from sltk.errors import SpecError

COUNTS = ("correct", "incorrect", "partial", "missed", "spurious")
TYPES = ("X", "Y")


@st.composite
def one_side(draw: st.DrawFn, length: int = 10, most: int = 5) -> list[tuple[int, int, str]]:
    """Spans of a sentence that do not overlap, in any order."""
    cuts = draw(st.sets(st.integers(0, length), max_size=2 * most))
    edges = sorted(cuts)
    spans = [(start, end, draw(st.sampled_from(TYPES))) for start, end in pairwise(edges)]
    return draw(st.permutations([span for span in spans if draw(st.booleans())][:most]))


def by_brute_force(gold, predicted):
    """The best of all one-to-one pairings: pairs of the same type, pairs, words in common."""
    best = (0, 0, 0)
    for size in range(min(len(gold), len(predicted)) + 1):
        for some in combinations(gold, size):
            for others in permutations(predicted, size):
                pairs = list(zip(some, others, strict=True))
                common = [min(g[1], p[1]) - max(g[0], p[0]) for g, p in pairs]
                if all(words > 0 for words in common):
                    best = max(best, (sum(g[2] == p[2] for g, p in pairs), size, sum(common)))
    return best


@given(one_side(most=4), one_side(most=4))
def test_the_pairing_is_optimal(gold, predicted):
    """No pairing has more pairs of the same type, then more pairs, then more words in common."""
    pairs = match_spans(gold, predicted)
    assert len({g for g, _ in pairs}) == len({p for _, p in pairs}) == len(pairs)
    common = [min(g[1], p[1]) - max(g[0], p[0]) for g, p in pairs]
    assert all(words > 0 for words in common)
    result = (sum(g[2] == p[2] for g, p in pairs), len(pairs), sum(common))
    assert result == by_brute_force(gold, predicted)


@given(one_side(), one_side(), st.data())
def test_the_order_of_annotations_is_irrelevant(gold, predicted, data):
    """The pairs and the table do not depend on the order of the spans."""
    other_gold = data.draw(st.permutations(gold))
    other_predicted = data.draw(st.permutations(predicted))
    assert match_spans(gold, predicted) == match_spans(other_gold, other_predicted)
    assert table([(gold, predicted)]) == table([(other_gold, other_predicted)])


def test_a_long_chain_of_overlaps_takes_linear_time():
    """Twenty thousand spans that each overlap two others are paired in linear time."""
    gold = [(4 * i, 4 * i + 4, "X") for i in range(20_000)]
    predicted = [(4 * i + 2, 4 * i + 6, "X") for i in range(20_000)]
    assert match_spans(gold, predicted) == list(zip(gold, predicted, strict=True))
    assert len(match_spans([(0, 20_000, "X")], [(i, i + 1, "X") for i in range(20_000)])) == 1


ANY_SIDE = st.sets(
    st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from(TYPES)).map(
        lambda place: (place[0], place[0] + place[1], place[2])
    ),
    max_size=4,
).flatmap(lambda spans: st.permutations(sorted(spans)))
"""Distinct spans of a sentence that may nest, cross and cover the same words, in any order."""


def best_of_all(gold, predicted):
    """The best of all pairings by each criterion in turn, written out."""
    candidates = sorted((g, p) for g in gold for p in predicted if min(g[1], p[1]) > max(g[0], p[0]))
    pairings = (
        pairs
        for size in range(min(len(gold), len(predicted)) + 1)
        for pairs in combinations(candidates, size)
        if len({g for g, _ in pairs}) == len({p for _, p in pairs}) == size
    )
    return list(
        max(
            pairings,
            key=lambda pairs: (
                sum(g == p for g, p in pairs),
                sum(g[2] == p[2] for g, p in pairs),
                len(pairs),
                sum(min(g[1], p[1]) - max(g[0], p[0]) for g, p in pairs),
                [pair not in pairs for pair in reversed(candidates)],
            ),
        )
    )


@given(ANY_SIDE, ANY_SIDE)
@settings(max_examples=150)
def test_overlapping_spans_have_the_best_of_all_pairings(gold, predicted):
    """Of all pairings of spans that nest, cross or cover the same words, the best is found, in any order."""
    assert match_spans(gold, predicted) == best_of_all(gold, predicted)


@given(one_side(most=4), one_side(most=4))
def test_flat_spans_are_a_special_case(gold, predicted):
    """Spans without overlap have the pairing that the same criteria choose."""
    assert match_spans(gold, predicted) == best_of_all(gold, predicted)


def test_a_span_around_all_others_is_no_burden():
    """Hundreds of spans inside a longer one on each side, all with shifted ends, are paired one by one."""
    gold = [(0, 1600, "X"), *((4 * i, 4 * i + 3, "X") for i in range(400))]
    predicted = [(0, 1601, "X"), *((4 * i + 1, 4 * i + 4, "X") for i in range(400))]
    assert match_spans(gold, predicted) == sorted(zip(gold, predicted, strict=True))


def test_correct_spans_are_pairs_even_if_others_lose_their_partners():
    """Two overlapping spans of one type that are both half right do not take the place of a correct one."""
    gold, predicted = [(0, 9, "X"), (0, 3, "X")], [(0, 9, "X"), (5, 8, "X")]
    assert match_spans(gold, predicted) == [((0, 9, "X"), (0, 9, "X"))]


# One gold and one predicted span, and what they are: strict, exact, partial, type.
STRATEGIES = [
    ([(0, 2, "X")], [(0, 2, "X")], ("correct", "correct", "correct", "correct")),
    ([(0, 2, "X")], [(0, 2, "Y")], ("incorrect", "correct", "correct", "incorrect")),
    ([(0, 2, "X")], [(0, 3, "X")], ("incorrect", "incorrect", "partial", "correct")),
    ([(0, 2, "X")], [(1, 3, "Y")], ("incorrect", "incorrect", "partial", "incorrect")),
    ([(0, 2, "X")], [], ("missed",) * 4),
    ([], [(0, 2, "X")], ("spurious",) * 4),
]


@pytest.mark.parametrize(("gold", "predicted", "expected"), STRATEGIES)
def test_each_row_classifies_pairs(gold, predicted, expected):
    """Each row classifies pairs by same ends and same type, and spans without a partner."""
    rows = table([(gold, predicted)])
    assert list(rows) == ["strict", "exact", "partial", "type"]
    for row, kind in zip(rows.values(), expected, strict=True):
        assert {key: row[key] for key in COUNTS} == {**dict.fromkeys(COUNTS, 0), kind: 1}
        assert (row["possible"], row["actual"]) == (len(gold), len(predicted))


def test_the_usual_example_of_all_cases():
    """One example of each case and two correct ones: 2, 3, 3 and 3 of six spans are correct, and F1 accordingly."""
    cases = [*STRATEGIES, STRATEGIES[0]]
    rows = table([(gold, predicted) for gold, predicted, _ in cases])
    counts = {name: tuple(row[key] for key in COUNTS) for name, row in rows.items()}
    assert counts == {
        "strict": (2, 3, 0, 1, 1),
        "exact": (3, 2, 0, 1, 1),
        "partial": (3, 0, 2, 1, 1),
        "type": (3, 2, 0, 1, 1),
    }
    assert all((row["possible"], row["actual"]) == (6, 6) for row in rows.values())
    f1 = [row["f1"] for row in rows.values()]
    assert f1 == pytest.approx([2 / 6, 3 / 6, 4 / 6, 3 / 6])


def test_a_span_has_one_partner():
    """Two predicted spans inside a gold one are one pair, of the same type, and one spurious span."""
    rows = table([([(0, 5, "X")], [(0, 3, "Y"), (3, 5, "X")])])
    assert [rows["partial"][key] for key in COUNTS] == [0, 0, 1, 0, 1]
    assert [rows["type"][key] for key in COUNTS] == [1, 0, 0, 0, 1]


def test_a_pair_of_the_same_type_is_preferred():
    """One pair of the same type is preferred to two pairs of different types."""
    gold, predicted = [(0, 2, "X"), (3, 6, "Y")], [(1, 4, "Y"), (5, 6, "X")]
    assert match_spans(gold, predicted) == [((3, 6, "Y"), (1, 4, "Y"))]


@st.composite
def tagged(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    tags = st.sampled_from(schemes.tags_of(TYPES, "IOB2"))
    pairs = draw(st.lists(st.lists(st.tuples(tags, tags), min_size=1, max_size=8), min_size=1, max_size=4))
    return [[g for g, _ in pair] for pair in pairs], [[p for _, p in pair] for pair in pairs]


@given(tagged(), st.sampled_from(["strict", "conlleval"]))
def test_rows_agree_with_one_another_and_with_seqeval(sides, mode):
    """Counts of each row add up, `strict` equals seqeval, and correct types add up over all types."""
    scores = PartialMetric(mode=mode).compute(*sides, "IOB2")
    reference = SeqevalMetric(mode=mode).compute(*sides, "IOB2")
    for row in scores["table"].values():
        right, wrong, half, missed, spurious = (row[key] for key in COUNTS)
        assert right + wrong + half + missed == row["possible"] == reference["support"]
        assert right + wrong + half + spurious == row["actual"] == reference["predicted"]
    strict = scores["table"]["strict"]
    assert strict["correct"] == reference["correct"]
    assert strict["f1"] == pytest.approx(reference["f1"])
    for row in ("strict", "type"):
        alone = [each["table"][row]["correct"] for each in scores["per_type"].values()]
        assert sum(alone) == scores["table"][row]["correct"]
    for kind, values in reference["per_type"].items():
        assert scores["per_type"][kind]["table"]["strict"]["f1"] == pytest.approx(values["f1"])


def test_scores_by_hand():
    """The top-level scores are those of the row `partial`; each type has its own table; all values are JSON."""
    gold = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X"]]
    predicted = [["B-X", "O", "O", "B-X"], ["B-Y", "O"]]
    scores = PartialMetric().compute(gold, predicted, "IOB2")
    assert (scores["support"], scores["predicted"]) == (3, 3)
    assert scores["precision"] == scores["recall"] == scores["f1"] == pytest.approx(1.5 / 3)
    assert scores["table"]["type"]["correct"] == 1
    x, y = scores["per_type"]["X"], scores["per_type"]["Y"]
    assert (x["precision"], x["recall"], x["support"], x["predicted"]) == (0.25, 0.25, 2, 2)
    assert (y["f1"], y["table"]["strict"]["missed"], y["table"]["strict"]["spurious"]) == (0, 1, 1)
    assert scores["macro_f1"] == pytest.approx(0.125)
    assert (scores["sentences"], scores["words"]) == (2, 6)
    assert scores["signature"].startswith("partial|scheme:IOB2|mode:strict|sltk:")
    assert json.loads(json.dumps(scores)) == scores


def test_no_spans_at_all_score_zero():
    """Without spans, or without sentences, all scores are 0."""
    for sentences in ([["O"]], []):
        scores = PartialMetric().compute(sentences, sentences, "IOB2")
        assert (scores["f1"], scores["macro_f1"], scores["per_type"]) == (0, 0, {})


def test_plain_tags_are_rejected():
    """Plain tags mark no spans to pair."""
    with pytest.raises(SpecError, match="use the metric `accuracy`"):
        PartialMetric().compute([["NOUN"]], [["NOUN"]], "plain")
