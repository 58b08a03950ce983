"""Where sentences lie in a packed batch, and who sees whom inside one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the sentences of a batch lie: runs of `count` sentences of one `length`, from token `start` on."""

    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def of_lengths(cls, lengths: Sequence[int]) -> Packing:
        """The packing of sentences that follow each other; equal lengths side by side share a run."""
        runs: list[tuple[int, int, int]] = []
        start = 0
        for length in lengths:
            if runs and runs[-1][2] == length:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, length)
            else:
                runs.append((start, 1, length))
            start += length
        return cls(tuple(runs))

    @property
    def tokens(self) -> int:
        """How many tokens the batch has."""
        return sum(count * length for _, count, length in self.runs)


@dataclass(frozen=True)
class Rule:
    """Which words a word sees: those before it only (causal), those nearer than `window` only."""

    causal: bool
    window: int | None

    def within(self, length: int) -> Rule:
        """The same for a sentence of `length` tokens, where a window as wide as it hides nothing."""
        return self if self.window is None or self.window < length else Rule(self.causal, None)

    def mask(self, length: int, device: torch.device) -> Tensor | None:
        """[L, L], True where row may look at column; None where all may."""
        if not self.causal and self.window is None:
            return None
        position = torch.arange(length, device=device)
        distance = position[:, None] - position[None, :]
        seen = distance >= 0 if self.causal else torch.ones_like(distance, dtype=torch.bool)
        return seen if self.window is None else seen & (distance.abs() < self.window)
