"""The `spans` metric: exact spans, and what stands behind their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from ...errors import SpecError
from ...schemes.names import SchemeName
from ...types import Prediction, span_score
from ..registry import register
from .bootstrap import intervals
from .calibration import above_thresholds, calibration
from .counting import Counts, TagSequences, accuracy, signature, sizes
from .span_metric import SpanMetric, SpanPairs

WordScores = Sequence[Sequence[float] | None]
"""The probability of each word's tag, sentence by sentence."""


@register.metric("spans")
class SpansMetric(SpanMetric):
    """Precision, recall and F1 of spans as such, and how sure and how wrong they are.

    A span is right if both ends and the type are, whatever scheme its tags are in; `boundaries` leaves the type out,
    and `confusion` tells which types were taken for which where both ends are right. `intervals` says how far the
    scores could be off with other sentences of the same kind (percentile bootstrap over sentences).
    `thresholds` and `calibration_bins` look at the probabilities that the model gives, and so need a model's
    predictions. A span's score is the product of its words' tag probabilities.
    """

    resamples: int = Field(
        default=1000,
        ge=0,
        description="how often sentences are drawn anew for the confidence intervals; 0: no intervals",
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="share of draws inside an interval")
    seed: int = Field(default=0, ge=0, description="seed of the draws")
    thresholds: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[], description="also score the spans whose score is at least this, for each number given"
    )
    calibration_bins: int = Field(
        default=0,
        ge=0,
        description="bins of the expected calibration error of words and of spans, 10 say; 0: not computed",
    )

    def score(self, predictions: Sequence[Prediction], scheme: SchemeName) -> dict[str, Any]:
        """As `compute`, with the probabilities of the predictions."""
        gold = [prediction.sentence.tags or () for prediction in predictions]
        predicted = [prediction.tags for prediction in predictions]
        return self.compute(gold, predicted, scheme, [prediction.scores for prediction in predictions])

    def compute(
        self,
        gold: TagSequences,
        predicted: TagSequences,
        scheme: SchemeName,
        scores: WordScores | None = None,
    ) -> dict[str, Any]:
        """Micro scores, `macro_f1`, `weighted_f1`, `per_type`, `boundaries`, `confusion`, and what is asked for.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain; or probabilities are asked about, and there are none.
            ValueError: gold and predicted differ in length.
        """
        sentences = self.pairs(gold, predicted, scheme)
        counts = Counts.of_spans(sentences)
        return {
            **counts.micro(),
            **counts.averages(),
            "accuracy": accuracy(gold, predicted),
            **counts.totals(),
            "per_type": counts.per_type(),
            "boundaries": _boundaries(sentences),
            "confusion": _confusion(sentences),
            **self._intervals(sentences),
            **self._of_scores(gold, predicted, sentences, scores),
            **sizes(gold, predicted),
            "signature": self._signature(scheme),
        }

    @property
    def needs_probabilities(self) -> bool:
        """Thresholds and calibration do."""
        return bool(self.thresholds or self.calibration_bins)

    def _signature(self, scheme: SchemeName) -> str:
        settings: dict[str, object] = {"scheme": scheme, "mode": self.mode}
        if self.resamples:
            drawn = {"resamples": self.resamples, "confidence": self.confidence, "seed": self.seed}
            settings |= {"intervals": "percentile-bootstrap", **drawn}
        if self.calibration_bins:
            settings["bins"] = self.calibration_bins
        return signature("spans", **settings)

    def _intervals(self, sentences: SpanPairs) -> dict[str, Any]:
        if not (self.resamples and sentences):
            return {}
        return {"intervals": intervals(sentences, self.resamples, self.confidence, self.seed)}

    def _of_scores(
        self, gold: TagSequences, predicted: TagSequences, sentences: SpanPairs, scores: WordScores | None
    ) -> dict[str, Any]:
        """What needs the probabilities of words."""
        if not self.needs_probabilities:
            return {}
        if scores is None or any(each is None for each in scores):
            raise SpecError(
                "`thresholds` and `calibration_bins` of the metric `spans` need a model's probabilities; "
                "tags alone have none"
            )
        found: dict[str, Any] = {}
        spans = _scored_spans(sentences, scores)
        if self.thresholds:
            wanted = sum(len(right) for right, _ in sentences)
            found["thresholds"] = above_thresholds(spans, wanted, self.thresholds)
        if self.calibration_bins:
            words = _scored_words(gold, predicted, scores)
            found["calibration"] = {
                "words": calibration(words, self.calibration_bins),
                "spans": calibration(spans, self.calibration_bins),
            }
        return found


def _scored_spans(sentences: SpanPairs, scores: WordScores) -> list[tuple[float, bool]]:
    return [
        (span_score((words or ())[span[0] : span[1]]), span in gold)
        for (gold, predicted), words in zip(sentences, scores, strict=True)
        for span in predicted
    ]


def _scored_words(
    gold: TagSequences, predicted: TagSequences, scores: WordScores
) -> list[tuple[float, bool]]:
    return [
        (score, tag == other)
        for right, guess, words in zip(gold, predicted, scores, strict=True)
        for tag, other, score in zip(right, guess, words or (), strict=True)
    ]


def _boundaries(sentences: SpanPairs) -> dict[str, Any]:
    """Scores of spans whose types are not looked at."""
    counts = Counts.of_spans(
        ([(*span[:2], "") for span in gold], [(*span[:2], "") for span in predicted])
        for gold, predicted in sentences
    )
    return {**counts.micro(), "correct": counts.totals()["correct"]}


def _confusion(sentences: SpanPairs) -> dict[str, Any]:
    """Spans with both ends right by gold and predicted type; the others of each side by their type."""
    types: dict[str, Counter[str]] = {}
    missed: Counter[str] = Counter()
    spurious: Counter[str] = Counter()
    for gold, predicted in sentences:
        found = {(start, end): type_ for start, end, type_ in predicted}
        for start, end, type_ in gold:
            other = found.pop((start, end), None)
            if other is None:
                missed[type_] += 1
            else:
                types.setdefault(type_, Counter())[other] += 1
        spurious.update(found.values())
    return {
        "types": {type_: dict(sorted(types[type_].items())) for type_ in sorted(types)},
        "missed": dict(sorted(missed.items())),
        "spurious": dict(sorted(spurious.items())),
    }
