"""One classifier of tags per layer, over the same word vectors, for spans that overlap.

A span inside another is on the next layer. Ju et al. (NAACL 2018) stack one flat model per layer; here all layers read
the same vectors, and are independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..decoding import Decisions, LayeredDecoder, ScoreDecoder
from ..schemes.labels import LabelSet
from .classification_loss import ClassificationLoss
from .softmax_head import HeadModule, Scorer


class LayeredHeadModule(HeadModule):
    """Tags each word on each layer independently.

    Args:
        scorer: word vectors to `scores_WL`: the tags of the first layer, then those of the second, and so on.
        layers: number of layers D.
        criterion: the loss of one word on one layer.
    """

    def __init__(self, scorer: Scorer, layers: int, criterion: ClassificationLoss) -> None:
        super().__init__()
        self.scorer, self.layers, self.criterion = scorer, layers, criterion

    def loss(  # type: ignore[override]  # no partial labels: hidden spans would move known ones to other layers
        self, vectors_WH: Tensor, tags_WD: Tensor, lengths_S: Tensor | Sequence[int]
    ) -> Tensor:
        """Sum of the losses of the words on all layers; layers that the head does not have are left out."""
        scores_WL = self.emissions(vectors_WH)
        scores_XL = scores_WL.reshape(len(scores_WL) * self.layers, -1)
        own_WD = _with_layers(tags_WD, self.layers)
        total: Tensor = self.criterion(scores_XL, own_WD.reshape(-1))
        return total

    def emissions(self, vectors_WH: Tensor) -> Tensor:
        """The scores of the tags of all layers, before the softmax of each."""
        scores_WL: Tensor = self.scorer(vectors_WH)
        return scores_WL

    def decoder(self, labels: LabelSet, decisions: Decisions) -> ScoreDecoder:
        """Decodes each layer by itself, and joins their spans."""
        return LayeredDecoder(labels, self.layers, decisions)


def _with_layers(tags_WD: Tensor, layers: int) -> Tensor:
    """The tags of the first layers; words have `O`, whose number is 0, on further ones."""
    missing = layers - tags_WD.shape[1]
    if missing <= 0:
        return tags_WD[:, :layers]
    # A word without a loss has none on any layer.
    return torch.cat([tags_WD, tags_WD[:, :1].clamp(max=0).expand(-1, missing)], 1)
