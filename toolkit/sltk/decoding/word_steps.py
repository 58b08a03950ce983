"""Packed words grouped by time step, for algorithms that run along sentences: `nn/timesteps.py` in numpy.

Sentences are sorted by length, longest first. So step t has the words of the N sentences that still have one at t,
which are the first N sentences of step t-1. Nothing is padded, and no loop runs over sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tag_transitions import Integers


@dataclass(frozen=True, slots=True, eq=False)
class WordSteps:
    """The words of packed sentences, ordered by time step."""

    bounds: list[int]
    """Where the words of each step begin in that order; the last number is the number of words."""
    order_W: Integers
    """Packed positions of the words, step by step, and the longest sentence first within a step."""
    first_S: Integers
    """Packed position of the first word of each sentence that has words."""

    @classmethod
    def of(cls, lengths_S: Sequence[int]) -> WordSteps:
        """The time steps of sentences of these lengths."""
        lengths = np.asarray(lengths_S, dtype=np.int64)
        lengths = lengths[lengths > 0]
        first = np.cumsum(lengths) - lengths
        by_length = np.argsort(-lengths, kind="stable")
        rank = np.empty_like(by_length)
        rank[by_length] = np.arange(len(lengths))
        time_W = np.arange(lengths.sum()) - np.repeat(first, lengths)
        order_W = np.argsort(time_W * len(lengths) + np.repeat(rank, lengths))
        return cls([0, *np.cumsum(np.bincount(time_W)).tolist()], order_W, first)

    def split(self, packed_W: NDArray[Any]) -> list[NDArray[Any]]:
        """Split a packed array [W, …] into one array [N, …] per step."""
        return np.split(packed_W[self.order_W], self.bounds[1:-1])

    def join(self, steps: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Join the arrays of all steps into a packed array; the inverse of `split`."""
        ordered_W = np.concatenate(steps)
        packed_W = np.empty_like(ordered_W)
        packed_W[self.order_W] = ordered_W
        return packed_W
