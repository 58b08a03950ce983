"""A backbone with its output layer, on packed blocks of tokens: the loss of a language model.

The output layer is the family's own, including its changes to scores (Gemma's soft cap, Granite's scale). It is the
complete language model without its base, so that it starts from given vectors.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from ..subwords.samples import IGNORED
from .backbone import PackedBackbone
from .batching import batch_on
from .packing import Packing
from .trainable import TrainableModule, loss_per_label
from .transfer import on_host, to_device

_ROWS = 1024
"""Tokens whose scores are in memory at a time: about 50,000 numbers per token, and as many in the gradient."""


class LanguageModel(TrainableModule):
    """Computes the loss of the labels of packed blocks.

    Args:
        backbone: a backbone built together with its language model.
    """

    def __init__(self, backbone: PackedBackbone) -> None:
        super().__init__()
        assert backbone.language_model is not None
        self.backbone = backbone
        # In a list, so that its weights, which `backbone.language_model` registers, are not registered twice.
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

        `labels` [T] is the token to predict from each vector, or -100.
        """
        return loss_per_label(self.total_loss(ids_T, packing, labels), labels, num_items_in_batch)

    def total_loss(self, ids_T: Tensor, packing: Packing, labels: Tensor) -> Tensor:
        """The sum over tokens with a label; scores are computed for these tokens only."""
        vectors_TH = self.backbone(ids_T, packing)
        labelled_N = to_device((on_host(labels) != IGNORED).nonzero().squeeze(1), labels.device)
        vectors_NH, labels_N = vectors_TH.index_select(0, labelled_N), labels.index_select(0, labelled_N)
        total: Tensor = vectors_TH[:0].sum().float()  # has a gradient even if nothing is labelled
        pieces = zip(torch.split(vectors_NH, _ROWS), torch.split(labels_N, _ROWS), strict=True)  # type: ignore[no-untyped-call]
        for vectors, numbers in pieces:
            # Scores are recomputed in the backward pass and never kept for all tokens.
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
        """[N, V]: one score per entry of the vocabulary."""
        with self.backbone.computing():
            out = self._output[0](inputs_embeds=vectors_NH.unsqueeze(0))
        logits: Tensor = out.logits[0]
        return logits


class _Vectors(BaseModelOutputWithPastAndCrossAttentions):  # type: ignore[misc]
    """The output of a base model, of which some families read more: scores of the router, shared keys."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _PassThrough(nn.Module):
    """Replaces a base model and returns the vectors it is called with."""

    @property
    def decoder(self) -> _PassThrough:
        """OPT calls the decoder of its base."""
        return self

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> _Vectors:
        return _Vectors(last_hidden_state=inputs_embeds)


def _without_base(language_model: Any) -> Any:
    """A model with the same weights that starts from the output of its base."""
    output = copy.copy(language_model)
    output._modules = {**language_model._modules, language_model.base_model_prefix: _PassThrough()}
    return output


@torch.inference_mode()
def mean_loss(
    network: LanguageModel, batches: Any, device: torch.device, apply: Any = map
) -> tuple[float, int]:
    """The mean loss per label over batches of an objective, and the number of labels.

    `apply` applies a function to all batches: `processes.divide` leaves a share of them to each process.
    """
    was_training = network.training
    network.eval()

    def measure(batch: Any) -> tuple[float, int]:
        inputs = batch_on(batch, device)
        loss = float(network.total_loss(inputs["ids_T"], inputs["packing"], inputs["labels"]))
        return loss, int((batch["labels"] != IGNORED).sum())

    total, count = 0.0, 0
    for loss, labels in apply(measure, batches):
        total += loss
        count += labels
    network.train(was_training)
    return total / max(count, 1), count
