"""An exponential moving average of the trained weights (Polyak and Juditsky, 1992), which is evaluated and saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from ..nn.trainable import TrainableModule


class WeightAverage(TrainerCallback):  # type: ignore[misc]
    """Follows the weights of a network after each update.

    After update t, average = d · average + (1 - d) · weights, with d = min(decay, (1 + t) / (10 + t)): otherwise, the
    initial weights would count for hundreds of updates. Gates of a mask that is being learned are not averaged.

    Args:
        network: its trained weights are whole and float32.
        decay: the largest d.
    """

    def __init__(self, network: TrainableModule, decay: float) -> None:
        self.decay = decay
        parameters = network.named_parameters()
        self._parameters = {n: p for n, p in parameters if p.requires_grad and not n.startswith("gates.")}
        self.values: dict[str, Tensor] = {
            name: p.detach().clone(memory_format=torch.contiguous_format)
            for name, p in self._parameters.items()
        }
        """The averages by the names of the weights."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Follow the weights."""
        update = state.global_step
        decay = min(self.decay, (1 + update) / (10 + update))
        weights = [parameter.detach() for parameter in self._parameters.values()]
        torch._foreach_lerp_([*self.values.values()], weights, 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The network has the averages inside the context, and its own weights again after it, bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        """Exchange weights and averages in place, so that memory for one more weight is enough."""
        for name, parameter in self._parameters.items():
            own = parameter.clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(own)

    @torch.no_grad()
    def apply(self) -> None:
        """Replace the weights of the network by the averages."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self.values[name])

    def state(self) -> dict[str, Tensor]:
        """The averages in main memory."""
        return {name: value.cpu() for name, value in self.values.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it belongs to another network; nothing has been changed.
        """
        shapes = {name: value.shape for name, value in self.values.items()}
        if {name: value.shape for name, value in state.items()} != shapes:
            raise ValueError("the averages are those of other weights")
        for name, value in state.items():
            self.values[name].copy_(value)
