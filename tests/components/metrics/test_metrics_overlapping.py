"""Metrics of spans that overlap, in the scheme `layers`, against counts written out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import SpecError, schemes
from sltk.components.metrics import AccuracyMetric, PartialMetric, SeqevalMetric, SpansMetric
from sltk.types import Prediction, Sentence, Span

LENGTH = 6
SPANS = st.sets(
    st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 4), st.sampled_from("XY")).map(
        lambda place: Span(place[0], min(place[0] + place[1], LENGTH), place[2])
    ),
    max_size=5,
)
SENTENCES = st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=4)


def tags(spans):
    return schemes.encode(spans, LENGTH, "layers")


def both_sides(sentences):
    return [tags(gold) for gold, _ in sentences], [tags(predicted) for _, predicted in sentences]


@given(SENTENCES)
@settings(max_examples=25)
def test_scores_are_those_of_sets_of_spans(sentences):
    """Every metric counts the spans of both sides as sets, whichever layers they are on."""
    support, predicted, correct, ends = Counter(), Counter(), Counter(), [0, 0, 0]
    for gold, guess in sentences:
        support.update(span.type for span in gold)
        predicted.update(span.type for span in guess)
        correct.update(span.type for span in gold & guess)
        one, other = ({(span.start, span.end) for span in side} for side in (gold, guess))
        ends = [total + len(more) for total, more in zip(ends, (one, other, one & other), strict=True)]
    sides = both_sides(sentences)
    scores = [SeqevalMetric().compute(*sides, "layers"), SpansMetric(resamples=3).compute(*sides, "layers")]
    for each in scores:
        for name, row in each["per_type"].items():
            assert (row["support"], row["predicted"]) == (support[name], predicted[name])
            assert row["correct"] == correct[name]
        assert (each["support"], each["predicted"]) == (support.total(), predicted.total())
        assert each["correct"] == correct.total()
    table = PartialMetric().compute(*sides, "layers")["table"]
    assert table["strict"]["correct"] == correct.total()
    assert scores[1]["boundaries"]["correct"] == ends[2]
    assert scores[1]["boundaries"]["precision"] == pytest.approx(ends[2] / ends[1] if ends[1] else 0)
    confusion = scores[1]["confusion"]
    matched = sum(sum(row.values()) for row in confusion["types"].values())
    assert sum(row.get(name, 0) for name, row in confusion["types"].items()) == correct.total()
    assert matched + sum(confusion["missed"].values()) == support.total()
    assert matched + sum(confusion["spurious"].values()) == predicted.total()


def test_a_word_is_correct_if_all_its_tags_are_on_any_layer():
    """A missed span moves others to another layer: their words stay correct."""
    outer, inner = Span(0, 5, "X"), Span(4, 6, "Y")
    gold, predicted = [tags({outer, inner})], [tags({inner})]
    assert (gold[0][5], predicted[0][5]) == ("O|I-Y", "I-Y")
    for metric in (AccuracyMetric(), SeqevalMetric(), SpansMetric(), PartialMetric()):
        assert metric.compute(gold, predicted, "layers")["accuracy"] == pytest.approx(1 / 6)
    by_tag = AccuracyMetric().compute(gold, predicted, "layers")["per_type"]
    assert {name: row["correct"] for name, row in by_tag.items()} == {
        "B-X": 0, "I-X": 0, "B-Y": 1, "I-Y": 1, "O": 0
    }  # fmt: skip


def test_the_signature_names_the_scheme_and_nothing_is_compared_with_seqeval():
    """The package seqeval cannot read layers: the signature and `verified_by` do not mention it."""
    sides = both_sides([({Span(0, 3, "X"), Span(1, 2, "Y")}, {Span(1, 2, "Y")})])
    scores = SeqevalMetric(verify="always").compute(*sides, "layers")
    assert scores["signature"].startswith("seqeval|scheme:layers|mode:strict|sltk:")
    assert (scores["verified_by"], scores["f1"]) == (None, pytest.approx(2 / 3))


def test_layers_cannot_be_scored_in_a_flat_scheme():
    """Conversion to a flat scheme would lose spans, so it is refused; the other way is not."""
    sides = both_sides([({Span(0, 3, "X"), Span(1, 2, "Y")}, set())])
    with pytest.raises(SpecError, match="may overlap, which IOB2 cannot hold: leave out `scheme`"):
        SeqevalMetric(scheme="IOB2").compute(*sides, "layers")
    flat = SeqevalMetric(scheme="layers").compute([["B-X", "O"]], [["B-X", "O"]], "IOB2")
    assert (flat["f1"], "converted-from:IOB2" in flat["signature"]) == (1, True)


def test_confusion_of_several_types_over_the_same_words():
    """Equal types are pairs first, then the others in alphabetical order, one to one."""
    gold = {Span(0, 2, name) for name in "ABC"}
    sides = both_sides([(gold, {Span(0, 2, "B"), Span(0, 2, "Z")})])
    confusion = SpansMetric().compute(*sides, "layers")["confusion"]
    assert confusion == {"types": {"A": {"Z": 1}, "B": {"B": 1}}, "missed": {"C": 1}, "spurious": {}}


def test_spans_with_scores_need_no_scores_of_words():
    """A model that scores spans alone has calibration and thresholds of spans; words are left out."""
    gold, found = {Span(0, 3, "X"), Span(1, 2, "Y")}, {Span(0, 3, "X", 0.9), Span(1, 2, "X", 0.4)}
    sentence = Sentence(["w"] * LENGTH, tags=tags(gold))
    prediction = Prediction(sentence, tags(found), None, sorted(found), scheme="layers")
    metric = SpansMetric(thresholds=[0.5], calibration_bins=2)
    scores = metric.score([prediction], "layers")
    assert scores["thresholds"][0]["precision"] == 1
    assert (list(scores["calibration"]), scores["calibration"]["spans"]["count"]) == (["spans"], 2)
    prediction.spans = []
    with pytest.raises(SpecError, match="need a model's probabilities"):
        metric.score([prediction], "layers")
