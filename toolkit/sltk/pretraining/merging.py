"""Merge trained weights with those before training: `base + share * (trained - base)`.

The base is the model that the spec names. An adapter `B @ A` is its change already, so `B` is scaled; of a model that
is trained whole, the weights are copied to main memory before training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..nn.backbone import PackedBackbone
from .pretrain_spec import PretrainSpec


class Merging:
    """Merges the weights of a model while it is scored and saved; created before training.

    Args:
        backbone: the model with its weights before training.
        spec: its spec; without `merge`, nothing is merged.
    """

    def __init__(self, backbone: PackedBackbone, spec: PretrainSpec) -> None:
        self._share = 1.0 if spec.merge is None else spec.merge
        self._parameters: list[nn.Parameter] = []
        self._base: list[Tensor | None] = []
        if self._share == 1:
            return
        has_adapters = spec.language_model.lora is not None
        network = backbone.model if has_adapters else backbone.language_model or backbone.model
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and (not has_adapters or ".lora_B." in name):
                self._parameters.append(parameter)
                self._base.append(None if has_adapters else _copy(parameter))

    @contextmanager
    def merged(self) -> Iterator[None]:
        """The model has the merged weights inside the context, and those of training again after it, bit for bit."""
        trained = [_copy(parameter) for parameter in self._parameters]
        self._assign(map(self._merge, trained, self._base))
        try:
            yield
        finally:
            self._assign(trained)

    @torch.no_grad()
    def _assign(self, values: Iterable[Tensor]) -> None:
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)

    def _merge(self, trained: Tensor, base: Tensor | None) -> Tensor:
        """Merge in float32; without a `base`, the weights were zero before training."""
        if base is None:
            return self._share * trained.float()
        return base.float() + self._share * (trained.float() - base.float())


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().to("cpu", copy=True)
