"""Vectors of words to predicted spans, for a head that scores candidate spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    classes: Sequence[Sequence[str]]
    """The types of each class; the first one is no span, and has none."""
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
        classes = [list(types) for types in self.classes]
        return {"type": "spans", "overlap": self.overlap, "classes": classes, **self.scorer.values()}

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given the vectors of their words.

        The score of a span is the probability of its type, in all classes that have it. That of a word is the
        probability that exactly the predicted spans cover it, where candidates are independent of each other.
        """
        lengths = [len(sentence.words) for sentence in sentences]
        candidates = self.scorer.log_probabilities(scores_WL, lengths)
        starts = np.cumsum([0, *lengths])
        chosen = [choose(each, self.overlap) for each in _likely(candidates, starts)]
        words_W = _word_scores(candidates, chosen, starts)
        unsure = self._uncertainties(candidates, starts)
        predictions = []
        for number, sentence in enumerate(sentences):
            start, end = int(starts[number]), int(starts[number + 1])
            spans = sorted(span for each in chosen[number] for span in self._spans(each, candidates, start))
            tags = schemes.encode(spans, end - start, self.labels.scheme)
            own = words_W[start:end].tolist()
            predictions.append(
                Prediction(sentence, tags, own, spans, scheme=self.labels.scheme, uncertainty=unsure[number])
            )
        return predictions

    def _spans(self, choice: SpanChoice, candidates: Candidates, first: int) -> Iterator[Span]:
        """The spans of a candidate, one per type of its class."""
        types = self.classes[choice.number]
        if len(self.classes) == len(self.labels.types) + 1:  # no class has several types
            yield Span(choice.start, choice.end, types[0], choice.score)
            return
        log_C = candidates.log_NC[candidates.row(first + choice.start, choice.end - choice.start)]
        for type_ in types:
            own = [number for number, each in enumerate(self.classes) if type_ in each]
            yield Span(choice.start, choice.end, type_, min(1.0, float(np.exp(log_C[own]).sum())))

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


def _likely(candidates: Candidates, starts: Integers) -> list[list[SpanChoice]]:
    """For each sentence, the candidates whose best class is a span."""
    log_NC = candidates.log_NC
    likely: list[list[SpanChoice]] = [[] for _ in starts[1:]]
    best_N = log_NC.argmax(1) if len(log_NC) else np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero(best_N)
    numbers = np.searchsorted(starts, candidates.starts_N[rows], side="right") - 1
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        best, start = int(best_N[row]), int(candidates.starts_N[row] - starts[number])
        odds, score = float(log_NC[row, best] - log_NC[row, 0]), float(np.exp(log_NC[row, best]))
        likely[number].append(SpanChoice(start, start + int(candidates.widths_N[row]), best, odds, score))
    return likely


def _word_scores(candidates: Candidates, chosen: Sequence[Sequence[SpanChoice]], starts: Integers) -> Floats:
    """[W]: the probability that exactly the chosen spans cover each word: a product over candidates that cover it."""
    classes_N = np.zeros(len(candidates.starts_N), dtype=np.int64)
    for start, choices in zip(starts.tolist(), chosen, strict=False):
        for each in choices:
            classes_N[candidates.row(start + each.start, each.end - each.start)] = each.number
    log_N = candidates.log_NC[np.arange(len(classes_N)), classes_N]
    changes = np.zeros(int(starts[-1]) + 1)
    np.add.at(changes, candidates.starts_N, log_N)
    np.add.at(changes, candidates.starts_N + candidates.widths_N, -log_N)
    scores_W: Floats = np.exp(np.minimum(np.cumsum(changes[:-1]), 0.0))
    return scores_W
