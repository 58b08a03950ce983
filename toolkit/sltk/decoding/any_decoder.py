"""The decoders of heads: what turns the scores of words into predictions, and how an export stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args

from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence
from .layered_decoder import LayeredDecoder
from .span_choice import Overlap
from .span_decoder import SpanDecoder
from .span_scoring import scorer_of
from .tag_transitions import Floats


class ScoreDecoder(Protocol):
    """Labels sentences, given the scores of their words."""

    @property
    def columns(self) -> int:
        """Scores per word."""

    def predictions(self, sentences: Sequence[Sentence], scores_WL: Floats) -> list[Prediction]:
        """Label sentences, given the scores [W, L] of all their words, sentence after sentence."""


def stored_decoder(values: Mapping[str, Any], labels: LabelSet) -> LayeredDecoder | SpanDecoder:
    """The decoder whose method `values` returned these.

    Raises:
        KeyError, TypeError, ValueError: they are damaged.
    """
    kind = values["type"]
    if kind == "layers":
        layers = int(values["layers"])
        if layers < 1:
            raise ValueError(f"{layers} layers")
        return LayeredDecoder(labels, layers)
    if kind != "spans" or values["overlap"] not in get_args(Overlap):
        raise ValueError(f"unknown decoder: `type: {kind}`, `overlap: {values.get('overlap')}`")
    scorer = scorer_of(values)
    classes = [tuple(types) for types in values["classes"]]
    if classes[:1] != [()] or {type_ for types in classes for type_ in types} != set(labels.types):
        raise ValueError(f"`classes` are not classes of the types {', '.join(labels.types)}")
    if scorer.classes != len(classes):
        raise ValueError(f"it scores {scorer.classes} classes, and there are {len(classes)}")
    return SpanDecoder(labels, classes, scorer, values["overlap"])
