"""Tags, probabilities and scores of spans against enumeration of every sequence of tags."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import schemes
from sltk.decoding import Decisions, TagDecoder, Transitions, keep_spans
from sltk.errors import UsageError
from sltk.schemes.labels import LabelSet
from sltk.types import Prediction, Sentence, Span

SCHEMES = [name for name in schemes.SCHEMES if name != "plain"]
LABELS = LabelSet.of_types(["A"], "IOB2")

every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
lengths = st.lists(st.integers(0, 4), min_size=1, max_size=4)
seeds = st.integers(0, 9999)


def sentences_of(sizes: list[int]) -> list[Sentence]:
    return [Sentence([f"w{number}" for number in range(size)]) for size in sizes]


def random_scores(sizes: list[int], labels: LabelSet, seed: int, scale: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(sum(sizes), len(labels))).astype(np.float32)


def random_transitions(labels: LabelSet, seed: int) -> Transitions:
    """Transitions that a CRF might have learnt: random, and forbidden where the scheme says so."""
    rng, rules = np.random.default_rng(seed), Transitions.of_scheme(labels)
    return Transitions(
        *(
            np.where(scores < 0, scores, rng.normal(size=scores.shape)).astype(np.float32)
            for scores in (rules.start_L, rules.pairs_LL, rules.end_L)
        )
    )


def sequences(scores_WL: np.ndarray, transitions: Transitions) -> dict[tuple[int, ...], float]:
    """The probability of every sequence of tags of one sentence, by definition."""
    weights = {}
    for path in product(range(scores_WL.shape[1]), repeat=len(scores_WL)):
        score = float(transitions.start_L[path[0]] + transitions.end_L[path[-1]])
        score += sum(float(transitions.pairs_LL[pair]) for pair in pairwise(path))
        score += sum(float(scores_WL[word, tag]) for word, tag in enumerate(path))
        weights[path] = math.exp(score) if score > -5000 else 0.0
    total = sum(weights.values())
    return {path: weight / total for path, weight in weights.items()}


def split(scores_WL: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(scores_WL, np.cumsum(sizes)[:-1])


@every_scheme
@given(sizes=lengths, seed=seeds, has_crf=st.booleans())
@settings(max_examples=12)
def test_marginal_is_the_probability_of_the_span(
    scheme: str, sizes: list[int], seed: int, has_crf: bool
) -> None:
    """The score `marginal` of a span sums over all sequences with its tags; tags are those of the best sequence."""
    labels = LabelSet.of_types(["A"], scheme)
    learnt = random_transitions(labels, seed) if has_crf else None
    decoder = TagDecoder(labels, learnt, Decisions(decode="constrained", span_score="marginal"))
    scores = random_scores(sizes, labels, seed)
    predictions = decoder.predictions(sentences_of(sizes), scores)
    for prediction, rows in zip(predictions, split(scores, sizes), strict=True):
        if not len(rows):
            assert prediction.tags == prediction.spans == []
            continue
        probabilities = sequences(rows, learnt or Transitions.of_scheme(labels))
        path = tuple(labels.index[tag] for tag in prediction.tags)
        assert probabilities[path] == pytest.approx(max(probabilities.values()), rel=1e-4)
        for word, score in enumerate(prediction.scores or ()):
            expected = sum(p for other, p in probabilities.items() if other[word] == path[word])
            assert score == pytest.approx(expected, rel=1e-4)
        for span in prediction.spans:
            at = slice(span.start, span.end)
            expected = sum(p for other, p in probabilities.items() if other[at] == path[at])
            assert span.score == pytest.approx(expected, rel=1e-4)


@given(sizes=lengths, seed=seeds)
@settings(max_examples=20)
def test_scores_of_independent_tags(sizes: list[int], seed: int) -> None:
    """With a softmax, `marginal` and `product` are the product of the tags' probabilities, `minimum` their minimum."""
    scores = random_scores(sizes, LABELS, seed)
    results = {
        name: TagDecoder(LABELS, None, Decisions(span_score=name)).predictions(sentences_of(sizes), scores)
        for name in ("product", "minimum", "marginal")
    }
    for by_product, by_minimum, by_marginal in zip(*results.values(), strict=True):
        assert by_product == by_minimum == by_marginal
        words = by_product.scores or []
        for span, lowest, joint in zip(by_product.spans, by_minimum.spans, by_marginal.spans, strict=True):
            own = words[span.start : span.end]
            assert span.score == joint.score == pytest.approx(math.prod(own))
            assert lowest.score == min(own)


@every_scheme
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    seed=seeds,
    scale=st.sampled_from([1.0, 300.0]),
)
@settings(max_examples=15)
def test_constrained_tags_are_well_formed(scheme: str, sizes: list[int], seed: int, scale: float) -> None:
    """Whatever the scores are, constrained decoding never gives a sequence that the scheme forbids."""
    labels = LabelSet.of_types(["A", "B"], scheme)
    scores = random_scores(sizes, labels, seed, scale)
    decoder = TagDecoder(labels, None, Decisions(decode="constrained", compare=True))
    for prediction in decoder.predictions(sentences_of(sizes), scores):
        decoded = schemes.decode(prediction.tags, scheme, "error")
        assert decoded.spans == prediction.spans
        assert all(0 <= score <= 1 for score in prediction.scores or ())
        as_trained = prediction.as_trained
        assert as_trained is not None
        if not schemes.decode(as_trained.tags, scheme, "drop").repaired:
            assert as_trained.tags == prediction.tags  # the best tags are kept if they are allowed


def test_extreme_scores_of_a_diverged_model() -> None:
    """Scores of thousands give probabilities that are numbers, those of the only plausible sequence."""
    scores = np.array([[0.0, -900.0, -2000.0], [0.0, -2000.0, 3000.0]], dtype=np.float32)  # O, B-A, I-A
    decoder = TagDecoder(LABELS, None, Decisions(decode="constrained", span_score="marginal"))
    (prediction,) = decoder.predictions(sentences_of([2]), scores)
    assert prediction.tags == ["B-A", "I-A"]
    assert prediction.scores == [1.0, 1.0]
    assert prediction.spans[0].score == 1.0


def test_a_batch_gives_what_its_sentences_give() -> None:
    """Predictions do not depend on the other sentences of a batch, also one of hundreds."""
    labels = LabelSet.of_types([f"T{number}" for number in range(15)], "BIOES")
    sizes = [3, 0, 40, 1, 17] * 30
    scores, sentences = random_scores(sizes, labels, 1), sentences_of(sizes)
    decoder = TagDecoder(labels, random_transitions(labels, 1), Decisions(span_score="marginal"))
    together = decoder.predictions(sentences, scores)
    pieces = zip(sentences, split(scores, sizes), strict=True)
    alone = [decoder.predictions([sentence], rows)[0] for sentence, rows in pieces]
    assert [p.tags for p in together] == [p.tags for p in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.scores == pytest.approx(other.scores, rel=1e-5)
        assert [s.score for s in one.spans] == pytest.approx([s.score for s in other.spans], rel=1e-5)


@given(sizes=lengths, seed=seeds, has_crf=st.booleans())
@settings(max_examples=20)
def test_uncertainty_follows_its_formula(sizes: list[int], seed: int, has_crf: bool) -> None:
    """Margin is that of the most doubtful word, entropy the mean over words, from probabilities by enumeration."""
    learnt = random_transitions(LABELS, seed) if has_crf else None
    scores = random_scores(sizes, LABELS, seed)
    free = Transitions(*(np.zeros(shape, dtype=np.float32) for shape in [3, (3, 3), 3]))
    found = {
        name: TagDecoder(LABELS, learnt, Decisions(uncertainty=name)).predictions(sentences_of(sizes), scores)
        for name in ("margin", "entropy")
    }
    for number, rows in enumerate(split(scores, sizes)):
        margin, entropy = (found[name][number].uncertainty for name in ("margin", "entropy"))
        if not len(rows):
            assert margin == entropy == 0.0
            continue
        marginals = np.zeros(rows.shape)
        for path, probability in sequences(rows, learnt or free).items():
            marginals[np.arange(len(rows)), path] += probability
        best = np.sort(marginals, axis=1)
        assert margin == pytest.approx(max(1 - (best[:, -1] - best[:, -2])), abs=1e-5)
        entropies = [-sum(p * math.log(p) for p in row if p > 0) for row in marginals]
        assert entropy == pytest.approx(sum(entropies) / len(entropies), abs=1e-5)


@every_scheme
@given(seed=seeds, lowest=st.floats(0, 1), of_a=st.floats(0, 1))
@settings(max_examples=25)
def test_spans_below_a_threshold_leave_no_trace(scheme: str, seed: int, lowest: float, of_a: float) -> None:
    """The spans kept are those at or above the higher threshold, and the tags mark exactly these."""
    labels = LabelSet.of_types(["A", "B"], scheme)
    (prediction,) = TagDecoder(labels).predictions(sentences_of([9]), random_scores([9], labels, seed))
    decisions = Decisions(min_score=lowest, thresholds={"A": of_a})
    kept = keep_spans(prediction, decisions)
    limits = {"A": max(lowest, of_a), "B": lowest}
    assert kept.spans == [span for span in prediction.spans if (span.score or 0) >= limits[span.type]]
    assert schemes.decode(kept.tags, scheme, "drop").spans == kept.spans
    assert len(kept.tags) == 9


def test_a_span_after_a_dropped_one_keeps_its_extent_in_iob1() -> None:
    """IOB1 writes B- only next to a span of the same type, so the tags of a kept span may change."""
    spans = [Span(0, 2, "A", 0.2), Span(2, 3, "A", 0.9)]
    prediction = Prediction(sentences_of([3])[0], ["I-A", "I-A", "B-A"], [0.5] * 3, spans, scheme="IOB1")
    assert keep_spans(prediction, Decisions(min_score=0.5)).tags == ["O", "O", "I-A"]


def test_plain_tags_cannot_be_constrained() -> None:
    """Plain tags may follow each other in any order."""
    with pytest.raises(UsageError, match="constrained decoding needs a scheme of spans"):
        TagDecoder(LabelSet.plain(["N", "V"]), None, Decisions(decode="constrained"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decode": "constraned"}, "unknown `decode`: `constraned`"),
        ({"span_score": "mean"}, "unknown `span_score`: `mean`"),
        ({"uncertainty": "doubt"}, "unknown `uncertainty`: `doubt`"),
        ({"min_score": 1.5}, "must be a number from 0 to 1, not `1.5`"),
        ({"min_score": math.nan}, "must be a number from 0 to 1, not `nan`"),
        ({"min_score": True}, "must be a number from 0 to 1"),
    ],
)
def test_decisions_reject_other_values(values: dict[str, object], message: str) -> None:
    """A value that means nothing is an error that names it."""
    with pytest.raises(UsageError, match=message):
        Decisions(**values)
