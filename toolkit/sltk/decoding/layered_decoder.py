"""Scores of the tags of several layers to predictions: each layer by itself, then the union of their spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import schemes
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence, Span
from .decisions import Decisions
from .decoder import TagDecoder
from .tag_transitions import Floats


@dataclass(frozen=True)
class LayeredDecoder:
    """Turns the scores of the tags of several layers into spans, and tags in the scheme `layers`."""

    labels: LabelSet
    layers: int
    decisions: Decisions = field(default_factory=Decisions)

    @property
    def columns(self) -> int:
        """Scores per word: one per layer and tag."""
        return self.layers * len(self.labels)

    def values(self) -> dict[str, Any]:
        """What it needs besides labels and decisions, ready for JSON."""
        return {"type": "layers", "layers": self.layers}

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given the scores of all tags of the first layer, then of the second, and so on.

        The score of a word is the probability of its tags on all layers together. A span that is on two layers is
        predicted once, with the higher of its scores.
        """
        decoder = TagDecoder(self.labels, None, self.decisions)
        layers = [
            decoder.predictions(sentences, scores) for scores in np.split(scores_WL, self.layers, axis=1)
        ]
        return [self._joined(list(parts)) for parts in zip(*layers, strict=True)]

    def _joined(self, layers: Sequence[Prediction]) -> Prediction:
        best: dict[Span, Span] = {}
        for span in (span for layer in layers for span in layer.spans):
            known = best.setdefault(span, span)
            if (span.score or 0.0) > (known.score or 0.0):
                best[span] = span
        before = [layer.as_trained for layer in layers if layer.as_trained is not None]
        spans = [best[span] for span in sorted(best)]
        return replace(
            layers[0],
            tags=schemes.encode(spans, len(layers[0].words), self.labels.scheme),
            scores=[math.prod(word) for word in zip(*(layer.scores or () for layer in layers), strict=True)],
            spans=spans,
            uncertainty=self._uncertainty([layer.uncertainty for layer in layers]),
            as_trained=self._joined(before) if before else None,
        )

    def _uncertainty(self, values: Sequence[float | None]) -> float | None:
        """That of the least certain layer (margin), or the entropy of the tags of all layers together."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return max(known) if self.decisions.uncertainty == "margin" else sum(known)
