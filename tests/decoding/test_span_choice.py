"""Decoding of candidate spans and of layers, against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import schemes
from sltk.decoding import Decisions, LayeredDecoder, SpanDecoder, TagDecoder, keep_spans, stored_decoder
from sltk.decoding.span_choice import SpanChoice, choose
from sltk.decoding.span_scoring import BiaffineScorer, MlpScorer
from sltk.errors import UsageError
from sltk.schemes.labels import LabelSet
from sltk.types import Sentence, Span

LABELS = LabelSet.of_types(["A", "B"], "layers")
CLASSES = [(), ("A",), ("B",), ("A", "B")]
CANDIDATES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 1), st.integers(1, 60)),
    max_size=9,
    unique_by=lambda drawn: drawn[:2],
).map(
    lambda drawn: [
        SpanChoice(start, start + width, type_, odds / 8, 1 / (1 + math.exp(-odds / 8)))
        for start, width, type_, odds in drawn
    ]
)


def overlap(left: SpanChoice, right: SpanChoice) -> bool:
    return bool(set(range(left.start, left.end)) & set(range(right.start, right.end)))


def crossing(left: SpanChoice, right: SpanChoice) -> bool:
    one, other = set(range(left.start, left.end)), set(range(right.start, right.end))
    return bool(one & other) and not (one <= other or other <= one)


@settings(deadline=None, max_examples=50)
@given(CANDIDATES)
def test_without_overlaps_the_best_of_all_sets_is_chosen(candidates):
    """Dynamic programming finds the highest sum of log odds that any set without overlaps has."""
    chosen = choose(candidates, "none")
    best = max(
        sum(each.odds for each in subset)
        for size in range(len(candidates) + 1)
        for subset in itertools.combinations(candidates, size)
        if not any(overlap(*pair) for pair in itertools.combinations(subset, 2))
    )
    assert not any(overlap(*pair) for pair in itertools.combinations(chosen, 2))
    assert sum(each.odds for each in chosen) == pytest.approx(best)
    assert chosen == choose(candidates[::-1], "none") or len({each.odds for each in candidates}) < len(
        candidates
    )


@settings(deadline=None, max_examples=50)
@given(CANDIDATES)
def test_nested_spans_are_chosen_by_score_unless_they_cross(candidates):
    """A candidate is chosen if and only if it crosses no chosen one that comes before it."""
    chosen = set(choose(candidates, "nested"))
    assert not any(crossing(*pair) for pair in itertools.combinations(chosen, 2))
    order = sorted(candidates, key=lambda each: (-each.score, each.start, each.end))
    for number, each in enumerate(order):
        earlier = [other for other in order[:number] if other in chosen]
        assert (each in chosen) == (not any(crossing(each, other) for other in earlier))
    assert choose(candidates, "any") == sorted(candidates)


def random_scorer(name, size=3, width=3):
    numbers = np.random.default_rng(5)
    draw = lambda *shape: numbers.normal(size=shape).astype(np.float32)  # noqa: E731
    if name == "mlp":
        return MlpScorer(draw(width, size), draw(size, 4), draw(4))
    return BiaffineScorer(draw(width, 4), draw(4, size + 1, size + 1))


def written_out(scorer, start, end, width):
    """The probabilities of the classes of one candidate, computed number by number."""
    if isinstance(scorer, MlpScorer):
        hidden = [max(a + b + c, 0) for a, b, c in zip(start, end, scorer.widths_KP[width - 1], strict=True)]
        scores = [
            sum(h * w for h, w in zip(hidden, scorer.output_PC[:, c], strict=True)) + scorer.bias_C[c]
            for c in range(4)
        ]
    else:
        left, right = [*start, 1.0], [*end, 1.0]
        scores = [
            sum(x * scorer.pairs_CQQ[c, i, j] * y for i, x in enumerate(left) for j, y in enumerate(right))
            + scorer.widths_KP[width - 1, c]
            for c in range(4)
        ]
    total = sum(map(math.exp, scores))
    return [math.exp(score) / total for score in scores]


@pytest.mark.parametrize("name", ["mlp", "biaffine"])
@pytest.mark.parametrize("overlapping", ["none", "nested", "any"])
def test_predictions_follow_from_the_probabilities_of_all_candidates(name, overlapping):
    """Spans, their scores, the scores of words and both uncertainties equal those of a written-out computation."""
    scorer, lengths = random_scorer(name), (4, 1, 5)
    features = np.random.default_rng(1).normal(size=(10, 6)).astype(np.float32)
    sentences = [Sentence(["w"] * length) for length in lengths]
    decided = {
        measure: SpanDecoder(
            LABELS, CLASSES, scorer, overlapping, Decisions(uncertainty=measure)
        ).predictions(sentences, features)
        for measure in ("margin", "entropy")
    }
    first, found = 0, 0
    for number, length in enumerate(lengths):
        prediction = decided["margin"][number]
        probabilities = {
            (start, start + width): written_out(
                scorer, features[first + start, :3], features[first + start + width - 1, 3:], width
            )
            for width in range(1, 4)
            for start in range(length - width + 1)
        }
        likely = [
            SpanChoice(*place, p.index(max(p)), math.log(max(p) / p[0]), max(p))
            for place, p in probabilities.items()
            if p.index(max(p))
        ]
        expected = choose(likely, overlapping)
        spans = [(each.start, each.end, type_) for each in expected for type_ in CLASSES[each.number]]
        assert [(s.start, s.end, s.type) for s in prediction.spans] == spans
        for span in prediction.spans:
            p = probabilities[span.start, span.end]
            assert span.score == pytest.approx(p["AB".index(span.type) + 1] + p[3], rel=1e-4)
        assert schemes.decode(prediction.tags, "layers", "error").spans == prediction.spans
        classes = {(each.start, each.end): each.number for each in expected}
        for word in range(length):
            covering = [place for place in probabilities if place[0] <= word < place[1]]
            exactly = math.prod(probabilities[place][classes.get(place, 0)] for place in covering)
            assert prediction.scores[word] == pytest.approx(exactly, rel=1e-4)
        margins = [1 - sorted(p)[-1] + sorted(p)[-2] for p in probabilities.values()]
        assert prediction.uncertainty == pytest.approx(max(margins), rel=1e-4)
        entropy = -sum(q * math.log(q) for p in probabilities.values() for q in p) / length
        assert decided["entropy"][number].uncertainty == pytest.approx(entropy, rel=1e-4)
        first, found = first + length, found + len(spans)
    assert found > 1
    again = stored_decoder(SpanDecoder(LABELS, CLASSES, scorer, overlapping).values(), LABELS)
    assert again.predictions(sentences, features) == SpanDecoder(
        LABELS, CLASSES, scorer, overlapping
    ).predictions(sentences, features)


@pytest.mark.parametrize(
    "changes", [{"decode": "constrained"}, {"span_score": "minimum"}, {"span_score": "marginal"}]
)
def test_decisions_about_tags_are_refused(changes):
    """A head that chooses spans has no tags to constrain, and one probability per span."""
    with pytest.raises(UsageError, match="chooses spans, not tags"):
        SpanDecoder(LABELS, CLASSES, random_scorer("mlp"), "none", Decisions(**changes))


@pytest.mark.parametrize("decode", ["head", "constrained"])
def test_layers_are_decoded_one_by_one_and_joined(decode):
    """The spans of layers are those of a flat decoder on each; one that is on two layers is there once."""
    scores = np.random.default_rng(3).normal(size=(6, 10)).astype(np.float32) * 3
    scores[0, 1] = 9
    scores[:, 5:] = np.where([[True]] * 2 + [[False]] * 4, scores[:, :5], scores[:, 5:])
    sentences = [Sentence(["a", "b"]), Sentence(["c", "d", "e", "f"])]
    decisions = Decisions(decode=decode, uncertainty="entropy", compare=decode == "constrained")
    predictions = LayeredDecoder(LABELS, 2, decisions).predictions(sentences, scores)
    parts = [
        TagDecoder(LABELS, None, decisions).predictions(sentences, scores[:, first : first + 5])
        for first in (0, 5)
    ]
    for prediction, one, other in zip(predictions, *parts, strict=True):
        assert prediction.spans == sorted({*one.spans, *other.spans})
        for span in prediction.spans:
            assert span.score == max(s.score for s in (*one.spans, *other.spans) if s == span)
        assert prediction.scores == pytest.approx(
            [a * b for a, b in zip(one.scores, other.scores, strict=True)]
        )
        assert prediction.uncertainty == pytest.approx(one.uncertainty + other.uncertainty)
        assert schemes.decode(prediction.tags, "layers", "error").spans == prediction.spans
        assert (prediction.as_trained is not None) == (decode == "constrained")
    assert parts[0][0].spans == parts[1][0].spans == predictions[0].spans != []


def test_thresholds_leave_single_spans_out():
    """A span below its threshold is left out of spans and tags, whatever it overlaps."""
    spans = [Span(0, 3, "A", 0.9), Span(1, 2, "B", 0.4)]
    tags = schemes.encode(spans, 3, "layers")
    prediction = TagDecoder(LABELS).predictions([Sentence(["a", "b", "c"])], np.zeros((3, 5), np.float32))[0]
    prediction.spans, prediction.tags = spans, tags
    kept = keep_spans(prediction, Decisions(thresholds={"B": 0.5}))
    assert (kept.spans, kept.tags) == (spans[:1], ["B-A", "I-A", "I-A"])
    assert keep_spans(prediction, Decisions(min_score=0.3)) is prediction
