"""The complete tagger: backbone, aligner and head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from . import pooling
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

    @property
    def is_frozen(self) -> bool:
        """Whether no weight of the backbone is trained."""
        return not any(parameter.requires_grad for parameter in self.backbone.parameters())

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; a frozen backbone stays in evaluation, without dropout."""
        super().train(mode)
        if mode and self.is_frozen:
            self.backbone.eval()
        return self

    def forward(
        self,
        ids_T: Tensor,
        packing: Packing,
        first_W: Tensor,
        last_W: Tensor,
        labels: Tensor,
        words_per_sentence: tuple[int, ...],
        num_items_in_batch: Tensor | int | None = None,
        vectors_WH: Tensor | None = None,
        vectors_TH: Tensor | None = None,
        flags: tuple[bool, ...] | None = None,
        allowed_WL: Tensor | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """`{"loss"}`: the mean over labelled words, of this batch or of all batches of one update.

        Trainer passes `num_items_in_batch` only to a forward with `**kwargs`. Without it, accumulated batches
        would be averaged as if they had equal numbers of words. Vectors of words, or of subwords, are those of a
        frozen backbone that were computed before, under the mask with these flags. `allowed_WL` has the tags that each
        word may have, if a sentence is partly labelled.

        Raises:
            RuntimeError: the mask has been changed since.
        """
        if flags is not None and flags != tuple(self.backbone.flags):
            about = "the vectors of the frozen backbone were computed under another mask"
            raise RuntimeError(f"{about}: set `trainer.reuse_frozen: false`")
        if vectors_WH is None:
            vectors_WH = self.word_vectors(ids_T, packing, first_W, last_W, vectors_TH)
        partly = {} if allowed_WL is None else {"allowed_WL": allowed_WL}
        total = self.head.loss(vectors_WH, labels, words_per_sentence, **partly)
        return loss_per_label(total, labels, num_items_in_batch)

    def word_vectors(
        self,
        ids_T: Tensor,
        packing: Packing,
        first_W: Tensor,
        last_W: Tensor,
        vectors_TH: Tensor | None = None,
    ) -> Tensor:
        """[W, H]: one vector per word; from those of subwords, if they are given."""
        if vectors_TH is None:
            vectors_TH = self.backbone(ids_T, packing)
        vectors: Tensor = self.aligner(vectors_TH, first_W, last_W)
        return vectors

    @property
    def has_own_aligner(self) -> bool:
        """Whether its aligner is one of sltk, which has no weights and no randomness."""
        return type(self.aligner).__module__ == pooling.__name__

    def frozen_vectors(self, batch: Batch) -> Tensor:
        """What a frozen backbone contributes to a batch: word vectors, or vectors of subwords for another aligner."""
        return (
            self._vectors(batch) if self.has_own_aligner else self.backbone(batch["ids_T"], batch["packing"])
        )

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
        if "vectors_WH" in batch:
            return batch["vectors_WH"]
        return self.word_vectors(
            batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"], batch.get("vectors_TH")
        )
