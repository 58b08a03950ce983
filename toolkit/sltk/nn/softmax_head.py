"""Heads: word vectors to tags. They do not depend on subwords, files or specs.

Vectors are packed, sentence after sentence; `sltk.nn` explains the shapes.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..decoding import Decisions, ScoreDecoder, TagDecoder, Transitions, best_tags
from ..schemes.labels import LabelSet
from .classification_loss import ClassificationLoss


class HeadModule(nn.Module):
    """Base class of heads: the loss of words with known tags, and the scores from which the best tags are chosen.

    A head implements `loss`, and either `emissions`, and `transitions` if adjacent tags depend on each other, or
    `decode` if it chooses tags in a way of its own.
    """

    @abstractmethod
    def loss(
        self,
        vectors_WH: Tensor,
        tags_W: Tensor,
        lengths_S: Tensor | Sequence[int],
        allowed_WL: Tensor | None = None,
    ) -> Tensor:
        """Sum (not mean) of the losses of the words whose tag is not -100; 0 if no word has a loss.

        `allowed_WL` is given if a sentence is partly labelled: whether each word may have each tag. It allows the tag
        of `tags_W`, and all tags of a word without a loss. A head without this parameter cannot be trained then.
        """

    @property
    def takes_partial_labels(self) -> bool:
        """Whether `loss` has the parameter `allowed_WL`."""
        return "allowed_WL" in inspect.signature(self.loss).parameters

    def emissions(self, vectors_WH: Tensor) -> Tensor:
        """`scores_WL`: the score of each tag at each word, up to a constant per word, such as logits."""
        raise NotImplementedError(f"{type(self).__name__} defines neither `emissions` nor `decode`")

    def transitions(self) -> Transitions | None:
        """The scores of adjacent tags, as arrays of numpy; None if tags do not depend on each other."""
        return None

    def decode(self, vectors_WH: Tensor, lengths_S: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """`tags_W` and `scores_W`: the number of each word's best tag and its probability.

        By default, the most probable tags according to `emissions` and `transitions`.

        Raises:
            NotImplementedError: the head chooses spans, or several tags per word: `decoder` labels sentences.
        """
        if type(self).decoder is not HeadModule.decoder:
            raise NotImplementedError(f"{type(self).__name__} has no single tag per word: use `decoder`")
        scores_WL = as_numpy(self.emissions(vectors_WH))
        best = best_tags(scores_WL, torch.as_tensor(lengths_S).tolist(), self.transitions())
        device = vectors_WH.device
        return torch.from_numpy(best.tags_W).to(device), torch.from_numpy(best.scores_W).to(device)

    def decode_parts(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """`decode` for one long sentence whose word vectors come in parts. By default, all vectors are held at once."""
        vectors_WH = torch.cat(list(parts))
        return self.decode(vectors_WH, (len(vectors_WH),))

    def decoder(self, labels: LabelSet, decisions: Decisions) -> ScoreDecoder:
        """What turns `emissions` into predictions; by default, the best tags according to `transitions`.

        Raises:
            UsageError: the head cannot decide as `decisions` say.
        """
        return TagDecoder(labels, self.transitions(), decisions)

    @property
    def decodes_itself(self) -> bool:
        """Whether the head chooses tags in a way of its own, by a `decode` of its own."""
        return type(self).decode is not HeadModule.decode


def as_numpy(scores: Tensor) -> NDArray[Any]:
    """Scores as an array of numpy, in float32 or float64."""
    scores = scores.detach()
    return (scores if scores.dtype == torch.float64 else scores.float()).cpu().numpy()


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
    """Tags each word independently: a softmax over its scores; by default, with cross-entropy as the loss."""

    def __init__(self, scorer: Scorer, criterion: ClassificationLoss | None = None) -> None:
        super().__init__()
        self.scorer = scorer
        self.criterion = criterion or ClassificationLoss()

    def loss(
        self,
        vectors_WH: Tensor,
        tags_W: Tensor,
        lengths_S: Tensor | Sequence[int],
        allowed_WL: Tensor | None = None,
    ) -> Tensor:
        """Sum of the losses of the words whose tag is not -100; `allowed_WL` has the tags of partly labelled words."""
        total: Tensor = self.criterion(self.scorer(vectors_WH), tags_W, allowed_WL)
        return total

    def emissions(self, vectors_WH: Tensor) -> Tensor:
        """The score of each tag at each word, before the softmax."""
        scores_WL: Tensor = self.scorer(vectors_WH)
        return scores_WL

    def decode_parts(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """The tags and probabilities of each part, since words are independent."""
        decoded = [self.decode(vectors_WH, (len(vectors_WH),)) for vectors_WH in parts]
        tags, scores = zip(*decoded, strict=True)
        return torch.cat(tags), torch.cat(scores)
