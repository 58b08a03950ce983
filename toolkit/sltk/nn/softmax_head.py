"""Heads: word vectors to tags. They do not depend on subwords, files or specs.

Vectors are packed, sentence after sentence; `sltk.nn` explains the shapes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100
"""Tag number of a word without a loss."""


class HeadModule(nn.Module):
    """Base class of heads: the loss of words with known tags, and the best tag of each word."""

    @abstractmethod
    def loss(self, vectors_WH: Tensor, tags_W: Tensor, lengths_S: Tensor | Sequence[int]) -> Tensor:
        """Sum (not mean) of the losses of the words whose tag is not -100; 0 if no word has a loss."""

    @abstractmethod
    def decode(self, vectors_WH: Tensor, lengths_S: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """`tags_W` and `scores_W`: the number of each word's best tag and its probability."""

    def decode_parts(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """`decode` for one long sentence whose word vectors come in parts. By default, all vectors are held at once."""
        vectors_WH = torch.cat(list(parts))
        return self.decode(vectors_WH, (len(vectors_WH),))


class Scorer(nn.Module):
    """One score per tag for each word, always in float32, also under autocast.

    In half precision, rounding would decide between close scores.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, vectors_WH: Tensor) -> Tensor:
        """`vectors_WH` to `scores_WL`."""
        with torch.autocast(vectors_WH.device.type, enabled=False):
            scores_WL: Tensor = self.layers(vectors_WH.float())
        return scores_WL


def linear_scorer(hidden_size: int, labels: int, dropout: float) -> Scorer:
    """Dropout, then one linear layer with bias."""
    return mlp_scorer(hidden_size, [], labels, dropout, nn.Identity)


def mlp_scorer(
    hidden_size: int, hidden: Sequence[int], labels: int, dropout: float, activation: type[nn.Module]
) -> Scorer:
    """Hidden layers of the sizes `hidden`, each followed by `activation`, and dropout before every layer."""
    layers: list[nn.Module] = []
    width = hidden_size
    for size in hidden:
        layers += [nn.Dropout(dropout), nn.Linear(width, size, dtype=torch.float32), activation()]
        width = size
    layers += [nn.Dropout(dropout), nn.Linear(width, labels, dtype=torch.float32)]
    return Scorer(nn.Sequential(*layers))


class SoftmaxHead(HeadModule):
    """Tags each word independently: a softmax over its scores, with cross-entropy as the loss."""

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

    def decode_parts(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """The tags and probabilities of each part, since words are independent."""
        decoded = [self.decode(vectors_WH, (len(vectors_WH),)) for vectors_WH in parts]
        tags, scores = zip(*decoded, strict=True)
        return torch.cat(tags), torch.cat(scores)
