"""The metric `spans`: exact spans, confusion, confidence intervals, thresholds and calibration."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sltk import Prediction, Sentence, schemes
from sltk.components.metrics import SeqevalMetric, SpansMetric
from sltk.components.metrics.bootstrap import intervals
from sltk.components.metrics.calibration import above_thresholds, calibration
from sltk.errors import SpecError

GOLD = [["B-A", "I-A", "O", "B-B"], ["O", "B-A", "I-A", "I-A"]]
PREDICTED = [["B-A", "I-A", "O", "B-A"], ["B-A", "B-A", "I-A", "O"]]
SCORES = [[0.9, 0.8, 0.99, 0.4], [0.6, 0.7, 0.8, 0.9]]
SPAN_SCHEMES = ("IOB1", "IOB2", "BIOES", "BILOU", "BMES")


@st.composite
def tagged(draw: st.DrawFn, scheme: str) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of a few sentences, including ill-formed ones, often equal."""
    tags = st.sampled_from(schemes.tags_of(["A", "B"], scheme))
    pair = tags.flatmap(lambda tag: st.tuples(st.just(tag), st.one_of(st.just(tag), tags)))
    sentences = draw(st.lists(st.lists(pair, min_size=1, max_size=8), min_size=1, max_size=4))
    return [[g for g, _ in pairs] for pairs in sentences], [[p for _, p in pairs] for pairs in sentences]


@settings(max_examples=40)
@given(st.data(), st.sampled_from(SPAN_SCHEMES), st.sampled_from(["strict", "conlleval"]))
def test_exact_scores_are_those_of_seqeval(data, scheme, mode):
    """Precision, recall, F1, averages and types equal those of `seqeval` in every scheme and mode."""
    gold, predicted = data.draw(tagged(scheme))
    ours = SpansMetric(mode=mode, resamples=0).compute(gold, predicted, scheme)
    theirs = SeqevalMetric(mode=mode).compute(gold, predicted, scheme)
    for key in theirs.keys() - {"signature", "verified_by"}:
        assert ours[key] == theirs[key]


@settings(max_examples=40)
@given(st.data())
def test_scores_do_not_depend_on_the_scheme(data):
    """The same spans in another scheme have the same scores, except the accuracy over words."""
    gold, predicted = (
        [schemes.encode(schemes.decode(tags, "IOB2").spans, len(tags), "IOB2") for tags in side]
        for side in data.draw(tagged("IOB2"))
    )
    own = SpansMetric(resamples=20).compute(gold, predicted, "IOB2")
    other = data.draw(st.sampled_from(SPAN_SCHEMES))
    written = ([schemes.convert(tags, "IOB2", other)[0] for tags in side] for side in (gold, predicted))
    scores = SpansMetric(resamples=20).compute(*written, other)
    assert f"scheme:{other}" in scores.pop("signature")
    for key in ("signature", "accuracy"):
        own.pop(key, None)
        scores.pop(key, None)
    assert scores == own


def test_scores_by_hand():
    """Of three gold and four predicted spans one is correct, and another has correct ends but a wrong type."""
    scores = SpansMetric().compute(GOLD, PREDICTED, "IOB2")
    assert (scores["support"], scores["predicted"], scores["correct"]) == (3, 4, 1)
    assert scores["f1"] == pytest.approx(2 / 7)
    assert scores["boundaries"] == {
        "precision": 0.5, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7), "correct": 2,
    }  # fmt: skip
    assert scores["confusion"] == {
        "types": {"A": {"A": 1}, "B": {"A": 1}}, "missed": {"A": 1}, "spurious": {"A": 2},
    }  # fmt: skip


@settings(max_examples=40)
@given(st.data())
def test_confusions_add_up(data):
    """Each gold span is in its type's row or missed, each predicted one in a column or spurious."""
    gold, predicted = data.draw(tagged("IOB2"))
    scores = SpansMetric(resamples=0).compute(gold, predicted, "IOB2")
    types, missed, spurious = scores["confusion"].values()
    for kind, values in scores["per_type"].items():
        assert sum(types.get(kind, {}).values()) + missed.get(kind, 0) == values["support"]
        across = sum(result.get(kind, 0) for result in types.values())
        assert across + spurious.get(kind, 0) == values["predicted"]
        assert types.get(kind, {}).get(kind, 0) == values["correct"]
    assert sum(sum(result.values()) for result in types.values()) == scores["boundaries"]["correct"]


def test_intervals_are_quantiles_of_scores_of_drawn_sentences():
    """Scoring each sample with the metric itself gives the same intervals."""
    gold = [["B-A", "O"], ["B-A", "B-B"], ["O", "O"], ["B-B", "O"], ["B-A", "I-A"]]
    predicted = [["B-A", "O"], ["B-B", "B-B"], ["B-A", "O"], ["O", "O"], ["B-A", "I-A"]]
    result = SpansMetric(resamples=50, seed=3, confidence=0.9).compute(gold, predicted, "IOB2")["intervals"]
    drawn = np.random.default_rng(3).integers(5, size=(50, 5))
    plain = SpansMetric(resamples=0)
    scores = [
        plain.compute([gold[i] for i in row], [predicted[i] for i in row], "IOB2") for row in drawn.tolist()
    ]
    for key in ("precision", "recall", "f1", "macro_f1"):
        assert result[key] == pytest.approx(np.quantile([each[key] for each in scores], [0.05, 0.95]))
    of_a = [each["per_type"].get("A", {"f1": 0})["f1"] for each in scores]
    assert result["per_type"]["A"] == pytest.approx(np.quantile(of_a, [0.05, 0.95]))


def test_intervals_depend_on_nothing_but_seed_and_settings():
    """The same seed gives the same intervals, another one others; the signature has all settings."""
    one, again, other = (
        SpansMetric(seed=seed).compute(GOLD * 99, PREDICTED * 99, "IOB2") for seed in (1, 1, 2)
    )
    assert one == again
    assert one["intervals"] != other["intervals"]
    assert "|intervals:percentile-bootstrap|resamples:1000|confidence:0.95|seed:1|" in one["signature"]
    assert "bootstrap" not in SpansMetric(resamples=0).compute(GOLD, PREDICTED, "IOB2")["signature"]


def test_intervals_narrow_with_more_data():
    """100 times the sentences give an interval about a tenth as wide, around the score."""
    few = SpansMetric().compute(GOLD * 4, PREDICTED * 4, "IOB2")["intervals"]["f1"]
    scores = SpansMetric().compute(GOLD * 400, PREDICTED * 400, "IOB2")
    low, high = scores["intervals"]["f1"]
    assert low < scores["f1"] < high
    assert (high - low) == pytest.approx((few[1] - few[0]) / 10, rel=0.3)


def test_the_block_size_changes_no_interval(monkeypatch):
    """Smaller blocks of samples in memory give the same intervals."""
    sentences = [([(0, 1, "A")], [(0, 1, "A")]), ([(0, 1, "A")], []), ([], [(1, 2, "B")])]
    whole = intervals(sentences, 40, 0.95, 7)
    monkeypatch.setattr("sltk.components.metrics.bootstrap._BLOCK_SIZE", 9)
    assert intervals(sentences, 40, 0.95, 7) == whole


def test_no_spans_at_all_score_zero():
    """Without spans all scores and interval ends are 0; without sentences there are no intervals."""
    scores = SpansMetric().compute([["O"]], [["O"]], "IOB2")
    assert (scores["f1"], scores["intervals"]["f1"], scores["intervals"]["per_type"]) == (0, [0, 0], {})
    assert "intervals" not in SpansMetric().compute([], [], "IOB2")


def test_scores_at_thresholds():
    """Only spans whose score, the product of word probabilities, is at least the threshold are counted."""
    metric = SpansMetric(thresholds=[0.6, 0.0, 0.95])
    rows = metric.compute(GOLD, PREDICTED, "IOB2", SCORES)["thresholds"]
    assert [(row["threshold"], row["predicted"], row["correct"]) for row in rows] == [
        (0.0, 4, 1), (0.6, 2, 1), (0.95, 0, 0),
    ]  # fmt: skip
    assert (rows[1]["precision"], rows[1]["recall"]) == (0.5, pytest.approx(1 / 3))
    assert rows[2]["f1"] == 0


def test_precision_and_recall_above_a_threshold_by_hand():
    """A score equal to the threshold counts."""
    rows = above_thresholds([(0.9, True), (0.5, False), (0.2, True)], 4, [0.5])
    assert rows == [
        {"threshold": 0.5, "precision": 0.5, "recall": 0.25, "f1": pytest.approx(1 / 3),
         "predicted": 2, "correct": 1},
    ]  # fmt: skip


def test_calibration_by_hand():
    """The error is the difference of mean score and accuracy per bin, weighted by its size."""
    result = calibration([(0.1, False), (0.5, True), (0.6, False), (0.9, True), (1.0, True)], 2)
    assert result["count"] == 5
    assert result["bins"] == [
        {"from": 0.0, "to": 0.5, "count": 2, "score": 0.3, "accuracy": 0.5},
        {
            "from": 0.5,
            "to": 1.0,
            "count": 3,
            "score": pytest.approx(2.5 / 3),
            "accuracy": pytest.approx(2 / 3),
        },
    ]
    assert result["ece"] == pytest.approx((2 * 0.2 + 3 * (2.5 / 3 - 2 / 3)) / 5)


def test_perfect_and_worst_calibration():
    """Certain and correct predictions have error 0, certain and wrong ones 1; empty bins are not listed."""
    assert calibration([(1.0, True)] * 3, 10)["ece"] == 0
    assert calibration([(1.0, False)] * 3, 10)["ece"] == 1
    assert calibration([(0.0, False)], 10)["bins"][0]["from"] == 0
    assert calibration([], 10) == {"ece": 0, "count": 0, "bins": []}


def test_words_and_spans_are_calibrated_apart():
    """Every word counts with its tag's probability, every predicted span with its score."""
    metric = SpansMetric(calibration_bins=1)
    scores = metric.compute(GOLD, PREDICTED, "IOB2", SCORES)
    words, spans = scores["calibration"]["words"], scores["calibration"]["spans"]
    assert (words["count"], words["bins"][0]["accuracy"]) == (8, 5 / 8)
    assert (spans["count"], spans["bins"][0]["accuracy"]) == (4, 1 / 4)
    assert spans["bins"][0]["score"] == pytest.approx((0.72 + 0.4 + 0.6 + 0.56) / 4)
    assert "|bins:1|" in scores["signature"]


def predictions(scores=SCORES) -> list[Prediction]:
    words = [["w"] * len(tags) for tags in GOLD]
    sides = zip(words, GOLD, PREDICTED, scores or [None, None], strict=True)
    return [Prediction(Sentence(word, tags=gold), tags, each) for word, gold, tags, each in sides]


def test_a_metric_is_given_predictions_with_their_probabilities():
    """`score` of predictions equals `compute` of their tags and probabilities, and is JSON-ready."""
    metric = SpansMetric(thresholds=[0.5], calibration_bins=10)
    scores = metric.score(predictions(), "IOB2")
    assert scores == metric.compute(GOLD, PREDICTED, "IOB2", SCORES)
    assert json.loads(json.dumps(scores)) == scores


@pytest.mark.parametrize("options", [{"thresholds": [0.5]}, {"calibration_bins": 10}])
def test_calibration_needs_probabilities(options):
    """Calibration without probabilities is an error."""
    with pytest.raises(SpecError, match="tags alone have none"):
        SpansMetric(**options).score(predictions(None), "IOB2")
    assert SpansMetric().score(predictions(None), "IOB2")["correct"] == 1


@pytest.mark.parametrize(
    "options", [{"thresholds": [1.5]}, {"confidence": 1}, {"resamples": -1}, {"calibration_bins": -1}]
)
def test_options_out_of_range_are_rejected(options):
    """A threshold above 1, a confidence of 1 and negative numbers are errors."""
    with pytest.raises(ValidationError):
        SpansMetric(**options)


def test_plain_tags_are_rejected():
    """Plain tags mark no spans to count."""
    with pytest.raises(SpecError, match="use the metric `accuracy`"):
        SpansMetric().compute([["NOUN"]], [["NOUN"]], "plain")
