"""The `mlp` head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from ..registry import register
from .classifying import ClassifyingHead

if TYPE_CHECKING:
    from ...nn.softmax_head import HeadModule
    from ...schemes.labels import LabelSet


@register.head("mlp")
class MlpHead(ClassifyingHead):
    """A linear layer after hidden layers; the tag of each word is chosen independently."""

    hidden: list[PositiveInt] = Field(
        default=[256], min_length=1, description="sizes of the hidden layers, in order"
    )
    activation: Literal["gelu", "relu", "silu", "tanh"] = Field(
        default="gelu", description="function after each hidden layer"
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="dropout rate for the input of each layer in training"
    )

    def build(self, hidden_size: int, labels: LabelSet) -> HeadModule:
        """A fresh float32 head for word vectors of `hidden_size`."""
        from torch import nn

        from ...nn.softmax_head import SoftmaxHead, mlp_scorer

        activations = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
        scorer = mlp_scorer(hidden_size, self.hidden, len(labels), self.dropout, activations[self.activation])
        return SoftmaxHead(scorer, self.criterion(labels))
