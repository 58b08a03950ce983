"""The `crf` head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from ... import schemes
from ..registry import RefusedError, register
from ..slots import Head
from .classifying import ClassifyingHead

if TYPE_CHECKING:
    from ...nn.softmax_head import HeadModule
    from ...schemes.labels import LabelSet


@register.head("crf")
class CrfHead(Head):
    """A linear layer and a conditional random field, which chooses all tags of a sentence together.

    It never predicts a sequence that the scheme forbids, such as I-PER after O in IOB2.
    """

    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout rate for word vectors in training")

    @model_validator(mode="before")
    @classmethod
    def _refuse_losses_of_words(cls, value: Any) -> Any:
        keys = ClassifyingHead.unwritten_defaults if isinstance(value, dict) else ()
        for key in keys:
            if key in value:
                about = f"a CRF has one loss per sentence, so `{key}`, which is about single words, is not defined"
                raise RefusedError(f"{about}: use head `linear` or `mlp`", key)
        return value

    def build(self, hidden_size: int, labels: LabelSet) -> HeadModule:
        """A fresh float32 head for word vectors of `hidden_size`; all allowed transitions have equal initial scores."""
        from ...nn.crf_head import Crf, CrfHeadModule
        from ...nn.softmax_head import linear_scorer

        scorer = linear_scorer(hidden_size, len(labels), self.dropout)
        return CrfHeadModule(scorer, Crf(*schemes.transitions(labels.tags, labels.scheme)))
