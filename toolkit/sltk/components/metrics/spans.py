"""The `spans` metric: scores of exact spans, with confidence intervals, confusion and calibration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Annotated, Any

from pydantic import Field

from ...errors import SpecError
from ...schemes import Chunk
from ...schemes.names import SchemeName
from ...types import Prediction, span_score
from ..registry import register
from .calibration import above_thresholds, calibration
from .confusion import type_pairs
from .counting import Counts, SpanPairs, TagSequences, correct_words, signature, span_scores
from .span_metric import SpanMetric

WordScores = Sequence[Sequence[float] | None]
"""The probability of each word's tag, sentence by sentence."""
OwnScores = Sequence[Mapping[Chunk, float | None]]
"""The model's score of each span, sentence by sentence."""


@register.metric("spans")
class SpansMetric(SpanMetric):
    """Precision, recall and F1 of spans, with their uncertainty and an analysis of errors.

    A span is correct if both ends and the type are, in any scheme. `boundaries` ignores types, and `confusion` counts
    which types were predicted for which, for spans with correct ends. `intervals` are confidence intervals of the
    scores (percentile bootstrap over sentences). `thresholds` and `calibration_bins` use the model's probabilities,
    so they need the predictions of a model; words are left out if a model scores spans alone. A span's score is the
    one that `sltk predict` writes (`span_score` of the head), or the product of its words' tag probabilities if that
    has none.
    """

    resamples: int = Field(
        default=1000,
        ge=0,
        description="number of bootstrap samples for the confidence intervals; 0: no intervals",
    )
    confidence: float = Field(
        default=0.95, gt=0, lt=1, description="confidence level: the share of samples inside an interval"
    )
    seed: int = Field(default=0, ge=0, description="seed of the samples")
    thresholds: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[], description="for each of these numbers, also score the spans whose score is at least that"
    )
    calibration_bins: int = Field(
        default=0,
        ge=0,
        description="number of bins of the expected calibration error of words and of spans, such as 10; "
        "0: not computed",
    )

    def score(self, predictions: Sequence[Prediction], scheme: SchemeName) -> dict[str, Any]:
        """As `compute`, with the probabilities of the predictions."""
        gold = [prediction.sentence.tags or () for prediction in predictions]
        predicted = [prediction.tags for prediction in predictions]
        own = [
            {(span.start, span.end, span.type): span.score for span in prediction.spans}
            for prediction in predictions
        ]
        return self.compute(gold, predicted, scheme, [prediction.scores for prediction in predictions], own)

    def compute(
        self,
        gold: TagSequences,
        predicted: TagSequences,
        scheme: SchemeName,
        scores: WordScores | None = None,
        own: OwnScores | None = None,
    ) -> dict[str, Any]:
        """The scores of `seqeval`, `boundaries`, `confusion`, and what the options select.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain; or an option needs probabilities, and `scores` has none.
            ValueError: gold and predicted differ in length.
        """
        sentences = self.pairs(gold, predicted, scheme)
        return {
            **span_scores(sentences, gold, predicted, scheme),
            "boundaries": _boundaries(sentences),
            "confusion": _confusion(sentences),
            **self._intervals(sentences),
            **self._probability_scores(gold, predicted, sentences, scores, own, scheme),
            "signature": self._signature(scheme),
        }

    @property
    def needs_probabilities(self) -> bool:
        """Whether `thresholds` or `calibration_bins` are set."""
        return bool(self.thresholds or self.calibration_bins)

    def _signature(self, scheme: SchemeName) -> str:
        settings: dict[str, object] = {"scheme": scheme, "mode": self.mode}
        if self.resamples:
            sampling = {"resamples": self.resamples, "confidence": self.confidence, "seed": self.seed}
            settings |= {"intervals": "percentile-bootstrap", **sampling}
        if self.calibration_bins:
            settings["bins"] = self.calibration_bins
        return signature("spans", **settings)

    def _intervals(self, sentences: SpanPairs) -> dict[str, Any]:
        if not (self.resamples and sentences):
            return {}
        from .bootstrap import intervals  # here: it imports numpy

        return {"intervals": intervals(sentences, self.resamples, self.confidence, self.seed)}

    def _probability_scores(
        self,
        gold: TagSequences,
        predicted: TagSequences,
        sentences: SpanPairs,
        scores: WordScores | None,
        own: OwnScores | None,
        scheme: SchemeName,
    ) -> dict[str, Any]:
        if not self.needs_probabilities:
            return {}
        has_words = scores is not None and None not in scores
        if not has_words and not _all_scored(sentences, own):
            raise SpecError(
                "`thresholds` and `calibration_bins` of the metric `spans` need a model's probabilities; "
                "tags alone have none"
            )
        result: dict[str, Any] = {}
        nothing: WordScores = [()] * len(sentences)
        spans = _scored_spans(sentences, scores or nothing, own or [{}] * len(sentences))
        if self.thresholds:
            support = sum(len(right) for right, _ in sentences)
            result["thresholds"] = above_thresholds(spans, support, self.thresholds)
        if self.calibration_bins:
            if has_words:
                words = _scored_words(gold, predicted, scores or nothing, scheme)
                result["calibration"] = {"words": calibration(words, self.calibration_bins)}
            result.setdefault("calibration", {})["spans"] = calibration(spans, self.calibration_bins)
        return result


def _all_scored(sentences: SpanPairs, own: OwnScores | None) -> bool:
    """Whether the model gives all predicted spans a score, as models of spans do, which may give words none."""
    return own is not None and all(
        scores.get(span) is not None
        for (_, predicted), scores in zip(sentences, own, strict=True)
        for span in predicted
    )


def _scored_spans(sentences: SpanPairs, scores: WordScores, own: OwnScores) -> list[tuple[float, bool]]:
    return [
        (_score(span, words or (), spans), span in gold)
        for (gold, predicted), words, spans in zip(sentences, scores, own, strict=True)
        for span in predicted
    ]


def _score(span: Chunk, words: Sequence[float], own: Mapping[Chunk, float | None]) -> float:
    """The model's own score of a span; one that it does not predict, as in another scheme, has none."""
    score = own.get(span)
    return span_score(words[span[0] : span[1]]) if score is None else score


def _scored_words(
    gold: TagSequences, predicted: TagSequences, scores: WordScores, scheme: SchemeName
) -> list[tuple[float, bool]]:
    """The probability of each word's tag; not of those that are scored in place of unknown ones, which have none."""
    return [
        (score, is_correct)
        for right, guess, words in zip(gold, predicted, scores, strict=True)
        for score, is_correct in zip(words or (), correct_words(right, guess, scheme), strict=True)
        if not math.isnan(score)
    ]


def _boundaries(sentences: SpanPairs) -> dict[str, Any]:
    """Scores of spans regardless of their types; several spans over the same words count once."""
    counts = Counts.of_spans(
        (list({(*span[:2], "") for span in gold}), list({(*span[:2], "") for span in predicted}))
        for gold, predicted in sentences
    )
    return {**counts.micro(), "correct": counts.correct.total()}


def _confusion(sentences: SpanPairs) -> dict[str, Any]:
    """Spans with both ends correct by gold and predicted type; other gold and predicted spans by their type."""
    types: dict[str, Counter[str]] = {}
    missed: Counter[str] = Counter()
    spurious: Counter[str] = Counter()
    for pairs in starmap(type_pairs, sentences):
        missed.update(right for right, guess in pairs if not guess)
        spurious.update(guess for right, guess in pairs if not right)
        for right, guess in pairs:
            if right and guess:
                types.setdefault(right, Counter())[guess] += 1
    return {
        "types": {type_: dict(sorted(types[type_].items())) for type_ in sorted(types)},
        "missed": dict(sorted(missed.items())),
        "spurious": dict(sorted(spurious.items())),
    }
