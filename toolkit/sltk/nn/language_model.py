"""A backbone with its output layer, on packed blocks of tokens: the loss of a language model.

The output layer is the family's own, with whatever it does to scores (Gemma's soft cap, Granite's scale): it is
the whole language model with its base taken out, so that it starts from the vectors that it is given.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from .backbone import PackedBackbone
from .head import IGNORED
from .packing import Packing
from .trainable import TrainableModule

_ROWS = 1024
"""Tokens whose scores are held at once: 50,000 numbers each, and as many in their gradient."""


class LanguageModel(TrainableModule):
    """Reads packed blocks and gives the loss of their labels.

    Args:
        backbone: one that was built with its language model around it.
    """

    def __init__(self, backbone: PackedBackbone) -> None:
        super().__init__()
        assert backbone.language_model is not None
        self.backbone = backbone
        # In a list: its weights are those of `backbone.language_model` already.
        self._output = [_without_base(backbone.language_model)]

    def forward(
        self,
        ids_T: Tensor,
        packing: Packing,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """`{"loss"}`: the mean over tokens with a label, of this batch or of all batches of one update.

        `labels` [T] is what is to be predicted from each vector, -100 where nothing is.
        """
        total = self.total_loss(ids_T, packing, labels)
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return {"loss": total / (count.clamp(min=1) if isinstance(count, Tensor) else count)}

    def total_loss(self, ids_T: Tensor, packing: Packing, labels: Tensor) -> Tensor:
        """The sum over tokens with a label; scores are computed for these alone."""
        vectors_TH = self.backbone(ids_T, packing)
        wanted_N = (labels != IGNORED).nonzero().squeeze(1)
        vectors_NH, labels_N = vectors_TH.index_select(0, wanted_N), labels.index_select(0, wanted_N)
        total: Tensor = vectors_TH[:0].sum().float()  # a gradient even where nothing is to be predicted
        pieces = zip(torch.split(vectors_NH, _ROWS), torch.split(labels_N, _ROWS), strict=True)  # type: ignore[no-untyped-call]
        for vectors, numbers in pieces:
            # Scores are computed again in the backward pass, and never held for all tokens.
            part: Tensor = checkpoint(
                self._loss, vectors, numbers, use_reentrant=False, preserve_rng_state=False
            )
            total = total + part
        return total

    def _loss(self, vectors_NH: Tensor, labels_N: Tensor) -> Tensor:
        scores_NV = self.scores(vectors_NH)
        loss: Tensor = F.cross_entropy(scores_NV.float(), labels_N, reduction="sum")
        return loss

    def scores(self, vectors_NH: Tensor) -> Tensor:
        """[N, V]: a score for each entry of the vocabulary."""
        out = self._output[0](inputs_embeds=vectors_NH.unsqueeze(0))
        logits: Tensor = out.logits[0]
        return logits


class _Given(nn.Module):
    """Stands where a base model was, and gives back the vectors that it is given."""

    @property
    def decoder(self) -> _Given:
        """OPT calls the decoder inside its base."""
        return self

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


def _without_base(language_model: Any) -> Any:
    """The same model, sharing all of its weights, that starts from the output of its base."""
    output = copy.copy(language_model)
    output._modules = {**language_model._modules, language_model.base_model_prefix: _Given()}
    return output


@torch.inference_mode()
def mean_loss(network: LanguageModel, batches: Any, device: torch.device) -> tuple[float, int]:
    """The mean loss of a token, and how many tokens have a label, over batches as the objectives make them."""
    was_training = network.training
    network.eval()
    total, count = 0.0, 0
    for batch in batches:
        labels = batch["labels"].to(device)
        total += float(network.total_loss(batch["ids_T"].to(device), batch["packing"], labels))
        count += int((labels != IGNORED).sum())
    network.train(was_training)
    return total / max(count, 1), count
