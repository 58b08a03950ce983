"""Scores of words to predictions: the only place where a tagger decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .. import schemes
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence, Span
from .chains import Chain
from .decisions import Decisions, check_scheme
from .tag_choice import best_tags
from .tag_transitions import Floats, Integers, Transitions
from .uncertainty import uncertainties


@dataclass(frozen=True)
class TagDecoder:
    """Turns the scores of words into tags, probabilities and spans.

    Raises:
        UsageError: tags are plain, and the decisions need a scheme of spans.
    """

    labels: LabelSet
    transitions: Transitions | None = None
    """Those that the head has learnt; None if it scores each word by itself."""
    decisions: Decisions = field(default_factory=Decisions)

    def __post_init__(self) -> None:
        check_scheme(self.labels.scheme, self.decisions)

    @property
    def columns(self) -> int:
        """Scores per word: one per tag."""
        return len(self.labels)

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given one score per tag for each of their words.

        Scores are logits or log-probabilities: a constant added to all scores of a word changes nothing.
        """
        is_constrained = self.decisions.decode == "constrained"
        if self.transitions is not None or not is_constrained:
            predictions = self._decide(sentences, scores_WL, self.transitions)
            return [_compared(p, replace(p)) for p in predictions] if self.decisions.compare else predictions
        predictions = self._decide(sentences, scores_WL, Transitions.of_scheme(self.labels))
        if not self.decisions.compare:
            return predictions
        as_trained = self._decide(sentences, scores_WL, None)
        return list(map(_compared, predictions, as_trained))

    def labelled(
        self, sentences: Sequence[Sentence], tags_W: Integers, probabilities_W: Floats
    ) -> list[Prediction]:
        """Label sentences with the tags that a head has chosen itself, given the probability of each."""
        return self._with_spans(sentences, tags_W, probabilities_W, None)

    def _decide(
        self, sentences: Sequence[Sentence], scores_WL: Floats, transitions: Transitions | None
    ) -> list[Prediction]:
        lengths = [len(sentence.words) for sentence in sentences]
        best = best_tags(scores_WL, lengths, transitions)
        predictions = self._with_spans(sentences, best.tags_W, best.scores_W, best.chain)
        if self.decisions.uncertainty is not None:
            values = uncertainties(best.probabilities(), lengths, self.decisions.uncertainty)
            for prediction, value in zip(predictions, values, strict=True):
                prediction.uncertainty = value
        return predictions

    def _with_spans(
        self, sentences: Sequence[Sentence], tags_W: Integers, probabilities_W: Floats, chain: Chain | None
    ) -> list[Prediction]:
        numbers, probabilities = tags_W.tolist(), probabilities_W.tolist()
        scheme, names = self.labels.scheme, self.labels.tags
        predictions, places = [], []
        start = 0
        for sentence in sentences:
            end = start + len(sentence.words)
            tags = [names[number] for number in numbers[start:end]]
            # Strict scoring counts the spans of mode "drop", so `predict` returns the spans that `evaluate` scores.
            chunks = schemes.chunks(tags, scheme, strict=True)
            places += [(start + first, start + last) for first, last, _ in chunks]
            spans = [Span(*chunk) for chunk in chunks]
            predictions.append(Prediction(sentence, tags, probabilities[start:end], spans, scheme=scheme))
            start = end
        scores = self._span_scores(tags_W, probabilities_W, places, chain)
        for prediction in predictions:
            prediction.spans = [Span(s.start, s.end, s.type, next(scores)) for s in prediction.spans]
        return predictions

    def _span_scores(
        self,
        tags_W: Integers,
        probabilities_W: Floats,
        places: Sequence[tuple[int, int]],
        chain: Chain | None,
    ) -> Iterator[float]:
        """The scores of spans over packed words, in order."""
        if not places:
            return iter(())
        bounds = np.asarray(places)
        if self.decisions.span_score == "marginal" and chain is not None:
            return iter(chain.span_probabilities(tags_W, bounds[:, 0], bounds[:, 1]).tolist())
        combine = np.minimum if self.decisions.span_score == "minimum" else np.multiply
        padded_W = np.append(probabilities_W.astype(np.float64), 1.0)
        # Every second range of `reduceat` is what lies between two spans.
        return iter(combine.reduceat(padded_W, bounds.reshape(-1))[::2].tolist())


def _compared(prediction: Prediction, as_trained: Prediction) -> Prediction:
    prediction.as_trained = as_trained
    return prediction
