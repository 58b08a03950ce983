"""What is trained: a network, its training examples, and how it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback

from ..components.slots import Backbone
from ..nn.trainable import TrainableModule
from .epoch_batches import Examples


class NetworkCallback(TrainerCallback):  # type: ignore[misc]
    """A callback that changes the network before training is set up, for example by adding weights to it."""

    def prepare(self, network: TrainableModule) -> None:
        """Change the network; called once, before the optimizer is made or a checkpoint is read."""


def _no_record(_: dict[str, Any]) -> None:
    """Record nothing."""


@dataclass(frozen=True)
class Task:
    """A network, its training examples, and how it is evaluated."""

    network: TrainableModule
    examples: Examples
    device: torch.device
    seed: int
    evaluate: Callable[[], dict[str, float]] | None
    """Returns the current scores of the network, with the one that selects the best epoch as `score`; None without
    validation data."""
    describe: Callable[[int], str]
    """Returns a name for the training sample with this number, for error messages."""
    callbacks: tuple[TrainerCallback, ...] = ()
    """Additional callbacks of the Trainer."""
    spec_digest: str | None = None
    """Identifies the spec in checkpoints, so that none of another spec is used."""
    backbone: Backbone | None = None
    """The spec of the backbone, from which the memory of training is estimated."""
    record: Callable[[dict[str, Any]], None] = _no_record
    """Receives how updates are divided into forward passes, for `environment.json`."""
