"""The peak learning rate of each weight: that of the head, and the decay from block to block.

Layer-wise decay gives lower blocks, which hold more general features, smaller updates (discriminative fine-tuning,
Howard and Ruder, ACL 2018). With decay d and N blocks, numbered from 0, the rate is multiplied by

    1            weights after the blocks: the last norm, an output layer
    d^(N-1-b)    block b, with its adapters: 1 for the last block
    d^N          weights before the blocks: embeddings
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .trainer_settings import TrainerSpec

Part = Literal["head", "input", "output"] | int
"""A part of a network: the number of a block, or what is before and after the blocks."""


@dataclass(frozen=True)
class LearningRates:
    """The peak learning rates of a network with `blocks` blocks."""

    trainer: TrainerSpec
    blocks: int

    @property
    def are_equal(self) -> bool:
        """Whether all weights have the same rate, as far as the keys decide it."""
        return self.trainer.head_learning_rate is None and self.trainer.layer_decay == 1

    def of(self, part: Part) -> float:
        """The rate of a part of the network."""
        rate, decay = self.trainer.learning_rate, self.trainer.layer_decay
        if part == "head":
            return rate if self.trainer.head_learning_rate is None else self.trainer.head_learning_rate
        if part == "output" or decay == 1:
            return rate
        return rate * decay ** (self.blocks if part == "input" else self.blocks - 1 - part)

    def text(self) -> str:
        """The rates in one line, from the head down."""
        parts = [] if self.trainer.head_learning_rate is None else [f"head {self.of('head'):.4g}"]
        if self.trainer.layer_decay == 1:
            return ", ".join([*parts, f"backbone {self.of('output'):.4g}"])
        last = self.blocks - 1
        parts.append(f"block {last} {self.of(last):.4g}")
        if last:
            parts.append(f"block 0 {self.of(0):.4g}")
        return ", ".join([*parts, f"embeddings {self.of('input'):.4g}"])
