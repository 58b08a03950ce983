"""The `linear` head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ..registry import register
from .classifying import ClassifyingHead

if TYPE_CHECKING:
    from ...nn.softmax_head import HeadModule
    from ...schemes.labels import LabelSet


@register.head("linear")
class LinearHead(ClassifyingHead):
    """A linear layer and a softmax over tags; the tag of each word is chosen independently."""

    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout rate for word vectors in training")

    def build(self, hidden_size: int, labels: LabelSet) -> HeadModule:
        """A fresh float32 head for word vectors of `hidden_size`."""
        from ...nn.softmax_head import SoftmaxHead, linear_scorer

        return SoftmaxHead(linear_scorer(hidden_size, len(labels), self.dropout), self.criterion(labels))
