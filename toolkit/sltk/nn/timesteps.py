"""Packed words grouped by time step, for algorithms that run along sentences.

Sentences are sorted by length, longest first. So step t is a tensor of the N sentences that still have a word at t,
which are the first N sentences of step t-1. Nothing is padded, and no loop runs over sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .transfer import to_device


@dataclass(frozen=True)
class TimeSteps:
    """The words of packed sentences, ordered by time step."""

    sizes: list[int]
    """Number of sentences that have a word at each step; never increases."""
    order: Tensor
    """Packed positions of the words, step by step, and the longest sentence first within a step."""
    inverse: Tensor
    """The inverse permutation of `order`."""
    first: Tensor
    """Packed position of the first word of each sentence that has words, in the order of the sentences."""
    last: Tensor
    """The same for the last word."""

    @classmethod
    def of(cls, lengths_S: Tensor | Sequence[int], device: torch.device) -> TimeSteps:
        """The time steps of sentences of these lengths."""
        lengths = torch.as_tensor(lengths_S, dtype=torch.long, device="cpu").reshape(-1)
        lengths = lengths[lengths > 0]
        first = lengths.cumsum(0) - lengths
        rank = torch.argsort(torch.argsort(lengths, descending=True, stable=True))
        time_W = torch.arange(int(lengths.sum())) - first.repeat_interleave(lengths)
        order_W = torch.argsort(time_W * len(lengths) + rank.repeat_interleave(lengths))
        indices = (order_W, torch.argsort(order_W), first, first + lengths - 1)
        return cls(torch.bincount(time_W).tolist(), *(to_device(index, device) for index in indices))

    def split(self, packed_W: Tensor) -> tuple[Tensor, ...]:
        """Split a packed tensor [W, …] into one tensor [N, …] per step."""
        return torch.split(packed_W.index_select(0, self.order), self.sizes)

    def join(self, steps: Sequence[Tensor]) -> Tensor:
        """Join the tensors of all steps into a packed tensor; the inverse of `split`."""
        return torch.cat(list(steps)).index_select(0, self.inverse)
