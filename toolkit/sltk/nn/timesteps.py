"""Packed words by time step, for what must walk along sentences.

The longest sentence comes first, so that step t is a tensor of the N sentences that still have a word at t,
the first N of those at step t-1. Nothing is padded, and no loop runs over sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimeSteps:
    """The words of packed sentences, in the order of their time step."""

    sizes: list[int]
    """Sentences that have a word at each step; never grows."""
    order: Tensor
    """Packed position of the words, step by step, longest sentence first within one."""
    inverse: Tensor
    first: Tensor
    """Packed positions of the first words of the sentences that have any, in order of the sentences."""
    last: Tensor

    @classmethod
    def of(cls, lengths_S: Tensor | Sequence[int], device: torch.device) -> TimeSteps:
        """The steps of sentences of these lengths."""
        lengths = torch.as_tensor(lengths_S, dtype=torch.long, device="cpu").reshape(-1)
        lengths = lengths[lengths > 0]
        first = lengths.cumsum(0) - lengths
        rank = torch.argsort(torch.argsort(lengths, descending=True, stable=True))
        time_W = torch.arange(int(lengths.sum())) - first.repeat_interleave(lengths)
        order_W = torch.argsort(time_W * len(lengths) + rank.repeat_interleave(lengths))
        places = (order_W, torch.argsort(order_W), first, first + lengths - 1)
        return cls(torch.bincount(time_W).tolist(), *(place.to(device) for place in places))

    def split(self, packed_W: Tensor) -> tuple[Tensor, ...]:
        """One tensor [N, …] a step, of what is packed [W, …]."""
        return torch.split(packed_W.index_select(0, self.order), self.sizes)

    def join(self, steps: Sequence[Tensor]) -> Tensor:
        """The inverse of `split`."""
        return torch.cat(list(steps)).index_select(0, self.inverse)
