"""Heads: from word vectors to tags. They know nothing of subwords, files or specs.

Vectors arrive packed, sentence after sentence; see the legend of shapes in `sltk.nn`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100
"""Tag number of a word that no loss is taken of."""


class HeadModule(nn.Module):
    """What every head does: a loss over words with known tags, and the best tag of each word."""

    @abstractmethod
    def loss(self, vectors_WH: Tensor, tags_W: Tensor, lengths_S: Tensor | Sequence[int]) -> Tensor:
        """Sum, not mean, of the losses of the words whose tag is not -100; 0 where there are none."""

    @abstractmethod
    def decode(self, vectors_WH: Tensor, lengths_S: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Number of each word's best tag, `tags_W`, and its probability, `scores_W`."""


class Scorer(nn.Module):
    """One score a tag for each word, in float32 whatever the vectors are.

    Under autocast, too: in half precision the softmax of close scores would decide by rounding.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, vectors_WH: Tensor) -> Tensor:
        """`scores_WL` of `vectors_WH`."""
        with torch.autocast(vectors_WH.device.type, enabled=False):
            scores_WL: Tensor = self.layers(vectors_WH.float())
        return scores_WL


def linear_scorer(hidden_size: int, labels: int, dropout: float) -> Scorer:
    """Dropout, then one linear layer with bias."""
    return mlp_scorer(hidden_size, [], labels, dropout, nn.Identity)


def mlp_scorer(
    hidden_size: int, hidden: Sequence[int], labels: int, dropout: float, activation: type[nn.Module]
) -> Scorer:
    """Hidden layers of the sizes `hidden`, each followed by `activation`; dropout before every layer."""
    layers: list[nn.Module] = []
    width = hidden_size
    for size in hidden:
        layers += [nn.Dropout(dropout), nn.Linear(width, size, dtype=torch.float32), activation()]
        width = size
    layers += [nn.Dropout(dropout), nn.Linear(width, labels, dtype=torch.float32)]
    return Scorer(nn.Sequential(*layers))


class SoftmaxHead(HeadModule):
    """Tags each word by itself: softmax over its scores, cross-entropy as the loss."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def loss(self, vectors_WH: Tensor, tags_W: Tensor, lengths_S: Tensor | Sequence[int]) -> Tensor:
        """Sum of the cross-entropies of the words whose tag is not -100."""
        return F.cross_entropy(self.scorer(vectors_WH), tags_W, ignore_index=IGNORED, reduction="sum")

    def decode(self, vectors_WH: Tensor, lengths_S: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """The most probable tag of each word, and its probability."""
        scores_W, tags_W = self.scorer(vectors_WH).softmax(-1).max(-1)
        return tags_W, scores_W
