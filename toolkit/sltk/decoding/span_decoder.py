"""Vectors of words to predicted spans, for a head that scores candidate spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import schemes
from ..errors import UsageError
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence, Span
from .decisions import Decisions
from .span_choice import Overlap, SpanChoice, choose
from .span_scoring import Candidates, SpanScorer
from .tag_transitions import Floats, Integers

NO_TAGS = "this model chooses spans, not tags"


@dataclass(frozen=True)
class SpanDecoder:
    """Turns two vectors per word into spans, their probabilities, and tags in the scheme `layers`.

    Raises:
        UsageError: the decisions are about tags.
    """

    labels: LabelSet
    scorer: SpanScorer
    overlap: Overlap
    decisions: Decisions = field(default_factory=Decisions)

    def __post_init__(self) -> None:
        if self.decisions.decode == "constrained":
            raise UsageError(f"{NO_TAGS}: `decode: constrained` has no meaning for it")
        if self.decisions.span_score != "product":
            raise UsageError(
                f"{NO_TAGS}, and a span has one probability: `span_score: {self.decisions.span_score}` has no meaning"
            )

    @property
    def columns(self) -> int:
        """Numbers per word that it reads."""
        return self.scorer.size

    def values(self) -> dict[str, Any]:
        """What it needs besides labels and decisions, ready for JSON."""
        return {"type": "spans", "overlap": self.overlap, **self.scorer.values()}

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given the vectors of their words.

        The score of a span is the probability of its type. That of a word is the probability that exactly the
        predicted spans cover it, where candidates are independent of each other.
        """
        lengths = [len(sentence.words) for sentence in sentences]
        candidates = self.scorer.log_probabilities(scores_WL, lengths)
        starts = np.cumsum([0, *lengths])
        chosen = [choose(each, self.overlap) for each in _likely(candidates, starts, len(sentences))]
        words_W = _word_scores(candidates, chosen, starts)
        unsure = self._uncertainties(candidates, starts)
        predictions = []
        for number, sentence in enumerate(sentences):
            spans = [
                Span(each.start, each.end, self.labels.types[each.type], each.score)
                for each in chosen[number]
            ]
            tags = schemes.encode(spans, lengths[number], self.labels.scheme)
            own = words_W[starts[number] : starts[number + 1]].tolist()
            predictions.append(
                Prediction(sentence, tags, own, spans, scheme=self.labels.scheme, uncertainty=unsure[number])
            )
        return predictions

    def _uncertainties(self, candidates: Candidates, starts: Integers) -> Sequence[float | None]:
        """The uncertainty of each sentence, if asked for.

        margin: 1 minus the difference between the probabilities of the two best classes, of the candidate where it is
        smallest. entropy: the entropies of all candidates, summed, in nats per word.
        """
        count, measure = len(starts) - 1, self.decisions.uncertainty
        if measure is None:
            return [None] * count
        sentence_N = np.searchsorted(starts, candidates.starts_N, side="right") - 1
        probabilities_NC = np.exp(candidates.log_NC)
        values_S = np.zeros(count)
        if measure == "margin":
            best_N2 = np.partition(probabilities_NC, -2, axis=1)[:, -2:]
            np.maximum.at(values_S, sentence_N, 1 - (best_N2[:, 1] - best_N2[:, 0]))
        else:
            np.add.at(values_S, sentence_N, -(probabilities_NC * candidates.log_NC).sum(1))
            values_S /= np.maximum(np.diff(starts), 1)
        return [float(value) for value in values_S]


def _likely(candidates: Candidates, starts: Integers, sentences: int) -> list[list[SpanChoice]]:
    """For each sentence, the candidates that are a span more probably than not, by their best type."""
    log_NC = candidates.log_NC
    likely: list[list[SpanChoice]] = [[] for _ in range(sentences)]
    if not len(log_NC):
        return likely
    types_N = log_NC[:, 1:].argmax(1)
    best_N = log_NC[np.arange(len(log_NC)), types_N + 1]
    rows = np.flatnonzero(best_N > log_NC[:, 0])
    numbers = np.searchsorted(starts, candidates.starts_N[rows], side="right") - 1
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        start = int(candidates.starts_N[row] - starts[number])
        odds = float(best_N[row] - log_NC[row, 0])
        score = float(np.exp(best_N[row]))
        likely[number].append(
            SpanChoice(start, start + int(candidates.widths_N[row]), int(types_N[row]), odds, score)
        )
    return likely


def _word_scores(candidates: Candidates, chosen: Sequence[Sequence[SpanChoice]], starts: Integers) -> Floats:
    """[W]: the probability that exactly the chosen spans cover each word: a product over candidates that cover it."""
    classes_N, words = np.zeros(len(candidates.starts_N), dtype=np.int64), int(starts[-1])
    places = [
        ((each.end - each.start) * (words + 1) + int(start) + each.start, each.type + 1)
        for start, choices in zip(starts, chosen, strict=False)
        for each in choices
    ]
    if places:
        keys_N = candidates.widths_N * (words + 1) + candidates.starts_N  # ascending, as candidates are
        keys, classes = np.array(places).T
        classes_N[np.searchsorted(keys_N, keys)] = classes
    log_N = candidates.log_NC[np.arange(len(classes_N)), classes_N]
    changes = np.zeros(words + 1)
    np.add.at(changes, candidates.starts_N, log_N)
    np.add.at(changes, candidates.starts_N + candidates.widths_N, -log_N)
    scores_W: Floats = np.exp(np.minimum(np.cumsum(changes[:-1]), 0.0))
    return scores_W
