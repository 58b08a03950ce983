"""The layout of sentences in a packed batch, and the rules by which their tokens attend to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """The layout of a packed batch: runs of `count` sentences of equal `length`, starting at token `start`."""

    runs: tuple[tuple[int, int, int], ...]
    """(start, count, length) of each run."""

    @classmethod
    def of_lengths(cls, lengths: Sequence[int]) -> Packing:
        """The packing of consecutive sentences; neighbours of equal length share a run."""
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
    def lengths(self) -> list[int]:
        """The length of each sentence."""
        return [length for _, count, length in self.runs for _ in range(count)]

    @property
    def tokens(self) -> int:
        """The number of tokens in the batch."""
        return sum(count * length for _, count, length in self.runs)


@dataclass(frozen=True)
class Rule:
    """The tokens that a token attends to: only earlier ones (`causal`), and only those nearer than `window`."""

    causal: bool
    window: int | None

    def within(self, length: int) -> Rule:
        """The rule for a sentence of `length` tokens; a window of at least that width has no effect."""
        return self if self.window is None or self.window < length else Rule(self.causal, None)

    def mask(self, length: int, device: torch.device) -> Tensor | None:
        """[L, L], True where the row may attend to the column; None if every row may attend to every column."""
        if not self.causal and self.window is None:
            return None
        position = torch.arange(length, device=device)
        distance = position[:, None] - position[None, :]
        visible = distance >= 0 if self.causal else torch.ones_like(distance, dtype=torch.bool)
        return visible if self.window is None else visible & (distance.abs() < self.window)
