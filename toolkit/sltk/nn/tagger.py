"""The complete tagger: backbone, aligner and head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .backbone import PackedBackbone
from .batching import Batch
from .packing import Packing
from .softmax_head import HeadModule
from .trainable import TrainableModule, loss_per_label


class Tagger(TrainableModule):
    """Computes the loss of a packed batch, or the scores or the tag of each word."""

    def __init__(self, backbone: PackedBackbone, aligner: nn.Module, head: HeadModule) -> None:
        super().__init__()
        self.backbone = backbone
        self.aligner = aligner
        self.head = head

    def forward(
        self,
        ids_T: Tensor,
        packing: Packing,
        first_W: Tensor,
        last_W: Tensor,
        labels: Tensor,
        words_per_sentence: tuple[int, ...],
        num_items_in_batch: Tensor | int | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """`{"loss"}`: the mean over labelled words, of this batch or of all batches of one update.

        Trainer passes `num_items_in_batch` only to a forward with `**kwargs`. Without it, accumulated batches
        would be averaged as if they had equal numbers of words.
        """
        vectors_WH = self.word_vectors(ids_T, packing, first_W, last_W)
        total = self.head.loss(vectors_WH, labels, words_per_sentence)
        return loss_per_label(total, labels, num_items_in_batch)

    def word_vectors(self, ids_T: Tensor, packing: Packing, first_W: Tensor, last_W: Tensor) -> Tensor:
        """[W, H]: one vector per word."""
        vectors: Tensor = self.aligner(self.backbone(ids_T, packing), first_W, last_W)
        return vectors

    def emissions(self, batches: Iterable[Batch]) -> Tensor:
        """`scores_WL`: the scores of all words of several batches; the vectors of only one are in memory at a time."""
        return torch.cat([self.head.emissions(self._vectors(batch)) for batch in batches])

    def decode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`tags_W` and `scores_W`: the best tag of each word and its probability."""
        return self.head.decode(self._vectors(batch), batch["words_per_sentence"])

    def decode_parts(self, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """`decode` for one long sentence, whose words come in several batches; only one is in memory at a time."""
        return self.head.decode_parts(map(self._vectors, batches))

    def _vectors(self, batch: Batch) -> Tensor:
        return self.word_vectors(batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"])
