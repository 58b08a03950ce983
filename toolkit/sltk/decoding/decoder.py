"""Scores of words to predictions: the only place where a tagger decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .. import schemes
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence, Span
from .chains import Chain, best_paths
from .tag_transitions import Floats, Integers, Transitions

Mode = Literal["head", "constrained"]
SpanScore = Literal["product", "minimum", "marginal"]


@dataclass(frozen=True)
class TagDecoder:
    """Turns the scores of words into tags, probabilities and spans."""

    labels: LabelSet
    transitions: Transitions | None = None
    """Those that the head has learnt; None if it scores each word by itself."""
    mode: Mode = "head"
    """`constrained` chooses the best tags that the scheme allows, also if the head scores each word by itself."""
    span_score: SpanScore = "product"
    """`product` or `minimum` of the probabilities of a span's tags, or the probability of all of them together."""

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given one score per tag for each of their words.

        Scores are logits or log-probabilities: a constant added to all scores of a word changes nothing.
        """
        lengths = [len(sentence.words) for sentence in sentences]
        tags_W, probabilities_W, chain = _decode(scores_WL, lengths, self._chain_transitions())
        return self._labelled(sentences, tags_W, probabilities_W, chain)

    def labelled(
        self, sentences: Sequence[Sentence], tags_W: Integers, probabilities_W: Floats
    ) -> list[Prediction]:
        """Label sentences with the tags that a head has chosen itself, given the probability of each."""
        return self._labelled(sentences, tags_W, probabilities_W, None)

    def _chain_transitions(self) -> Transitions | None:
        if self.transitions is None and self.mode == "constrained":
            return Transitions.of_scheme(self.labels)
        return self.transitions

    def _labelled(
        self, sentences: Sequence[Sentence], tags_W: Integers, probabilities_W: Floats, chain: Chain | None
    ) -> list[Prediction]:
        numbers, probabilities = tags_W.tolist(), probabilities_W.tolist()
        scheme, names = self.labels.scheme, self.labels.tags
        predictions, spans = [], []
        start = 0
        for sentence in sentences:
            end = start + len(sentence.words)
            tags = [names[number] for number in numbers[start:end]]
            # Strict scoring counts the spans of mode "drop", so `predict` returns the spans that `evaluate` scores.
            chunks = schemes.chunks(tags, scheme, strict=True)
            spans += [(start + first, start + last) for first, last, _ in chunks]
            predictions.append(
                Prediction(
                    sentence, tags, probabilities[start:end], [Span(*c) for c in chunks], scheme=scheme
                )
            )
            start = end
        scores = self._span_scores(tags_W, probabilities_W, spans, chain)
        for prediction in predictions:
            prediction.spans = [
                Span(span.start, span.end, span.type, next(scores)) for span in prediction.spans
            ]
        return predictions

    def _span_scores(
        self, tags_W: Integers, probabilities_W: Floats, spans: Sequence[tuple[int, int]], chain: Chain | None
    ) -> Iterator[float]:
        """The scores of spans over packed words, in order."""
        if not spans:
            return iter(())
        bounds = np.asarray(spans)
        starts, ends = bounds[:, 0], bounds[:, 1]
        if self.span_score == "marginal" and chain is not None:
            scores = chain.span_probabilities(tags_W, starts, ends)
        else:
            combine = np.minimum if self.span_score == "minimum" else np.multiply
            # Every second range of `reduceat` is what lies between two spans.
            places = bounds.reshape(-1)
            padded_W = np.append(probabilities_W.astype(np.float64), 1.0)
            scores = combine.reduceat(padded_W, places)[::2]
        return iter(scores.tolist())


def decode(
    scores_WL: Floats, lengths_S: Sequence[int], transitions: Transitions | None
) -> tuple[Integers, Floats]:
    """The best tag of each word, and its probability; with `transitions`, those of the best path of each sentence."""
    return _decode(scores_WL, lengths_S, transitions)[:2]


def _decode(
    scores_WL: Floats, lengths_S: Sequence[int], transitions: Transitions | None
) -> tuple[Integers, Floats, Chain | None]:
    tags_W = scores_WL.argmax(1)
    shifted_WL = scores_WL - scores_WL[np.arange(len(tags_W)), tags_W, None]
    sums_W = np.exp(shifted_WL) @ np.ones(
        scores_WL.shape[1], scores_WL.dtype
    )  # faster than the sums of short rows
    if transitions is None:
        return tags_W, 1 / sums_W, None
    # Adding a constant to all scores of a word changes no probability. Log-probabilities keep the sums of long
    # sentences near 0, where float32 is most precise.
    log_WL = shifted_WL - np.log(sums_W)[:, None]
    tags_W = best_paths(log_WL, lengths_S, transitions)
    chain = Chain.of(log_WL, lengths_S, transitions)
    return tags_W, chain.marginals()[np.arange(len(tags_W)), tags_W].astype(log_WL.dtype), chain
