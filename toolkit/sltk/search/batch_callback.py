"""A callback of the Trainer that acts before the forward pass of each batch, and knows the number of the batch."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from ..spec.experiment import Experiment
from ..spec.recipes import RECIPES
from ..training.task import NetworkCallback


class BatchCallback(NetworkCallback):
    """Acts before each batch in training.

    Only batches whose gradients are part of an update count: recipe `as_released` keeps one of
    `gradient_accumulation`. Batches are counted across epochs, so a resumed run has the same numbers as an
    uninterrupted one.
    """

    needs_batches = True
    """Each batch has its own forward pass, because it has its own mask."""

    def __init__(self, experiment: Experiment) -> None:
        self.seed = experiment.seed
        self.drop_window = getattr(experiment.backbone, "unmask_window", None) == "drop"
        self.accumulates = RECIPES[experiment.trainer.recipe].accumulates
        self.batches_per_epoch = 0
        self.batch = 0
        """The batch of the next forward pass in training."""
        self.progress = 0.0
        """The share of updates that are done."""
        self._hook: Any = None

    @abstractmethod
    def before_batch(self, batch: int) -> None:
        """Act before the forward pass of a batch, counted from 0."""

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, train_dataloader: Any = None, **_: Any
    ) -> None:
        """Hook into the network, and count the batches."""
        self.batches_per_epoch = len(train_dataloader)
        self._hook = model.register_forward_pre_hook(self._before_pass)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Find the first batch of an update; the last update of an epoch may have fewer batches."""
        self.progress = state.global_step / max(1, state.max_steps)
        if self.accumulates:
            updates_per_epoch = math.ceil(self.batches_per_epoch / args.gradient_accumulation_steps)
            epoch, update = divmod(state.global_step, updates_per_epoch)
            self.batch = epoch * self.batches_per_epoch + update * args.gradient_accumulation_steps
        else:
            self.batch = state.global_step

    def _before_pass(self, network: Any, _: Any) -> None:
        """Act; the passes of an update follow each other in the order of its batches."""
        if network.training:
            self.before_batch(self.batch)
            self.batch += 1

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Leave the network."""
        self._hook.remove()
