"""The decoders of heads: what turns the scores of words into predictions, and how an export stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence
from .decisions import Decisions
from .layered_decoder import LayeredDecoder
from .span_decoder import SpanDecoder
from .span_scoring import scorer_of
from .tag_transitions import Floats


class Decoder(Protocol):
    """Labels sentences, given the scores of their words."""

    @property
    def columns(self) -> int:
        """Scores per word."""

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given the scores [W, L] of all their words, sentence after sentence."""


def stored_decoder(values: Mapping[str, Any], labels: LabelSet, decisions: Decisions) -> Decoder:
    """The decoder whose method `values` returned these.

    Raises:
        KeyError, TypeError, ValueError: they are damaged.
        UsageError: it cannot decide like this.
    """
    if values["type"] == "layers":
        return LayeredDecoder(labels, values["layers"], decisions)
    if values["type"] != "spans" or values["overlap"] not in ("none", "nested", "any"):
        raise ValueError(f"unknown decoder `{values['type']}`")
    return SpanDecoder(labels, scorer_of(values), values["overlap"], decisions)
