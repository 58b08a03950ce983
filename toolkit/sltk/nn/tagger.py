"""The whole model: backbone, aligner, head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .backbone import PackedBackbone
from .batching import Batch
from .head import IGNORED, HeadModule
from .packing import Packing
from .trainable import TrainableModule


class Tagger(TrainableModule):
    """Reads a packed batch; gives its loss, or the tag of each word."""

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

        `**_` is there because Trainer passes `num_items_in_batch` only to a forward that takes anything:
        without it accumulated batches would be averaged as if they had equally many words.
        """
        vectors_WH = self.word_vectors(ids_T, packing, first_W, last_W)
        total = self.head.loss(vectors_WH, labels, words_per_sentence)
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return {"loss": total / (count.clamp(min=1) if isinstance(count, Tensor) else count)}

    def word_vectors(self, ids_T: Tensor, packing: Packing, first_W: Tensor, last_W: Tensor) -> Tensor:
        """[W, H]: one vector a word."""
        vectors: Tensor = self.aligner(self.backbone(ids_T, packing), first_W, last_W)
        return vectors

    def decode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`tags_W` and `scores_W`: the best tag of each word and its probability."""
        vectors_WH = self.word_vectors(batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"])
        return self.head.decode(vectors_WH, batch["words_per_sentence"])
