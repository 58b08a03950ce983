"""The layout of sentences in a packed batch, and the rules by which their tokens attend to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from .transfer import to_device


@dataclass(frozen=True)
class Packing:
    """The layout of a packed batch: runs of `count` sentences of equal `length`, starting at token `start`."""

    runs: tuple[tuple[int, int, int], ...]
    """(start, count, length) of each run."""
    _tensors: dict[tuple[str, torch.device], Tensor] = field(default_factory=dict, compare=False, repr=False)
    """Tensors below, by name and device: computed once in main memory, and moved once."""
    _repeated: dict[int, Packing] = field(default_factory=dict, compare=False, repr=False)
    """`repeated`, by the number of copies."""

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

    @property
    def longest(self) -> int:
        """The length of the longest sentence."""
        return max(length for *_, length in self.runs)

    def positions(self, device: torch.device) -> Tensor:
        """[T]: the position of each token in its sentence."""
        return self._on("positions", device, self._positions)

    def bounds(self, device: torch.device) -> Tensor:
        """[N + 1], int32: the first token of each sentence, and the number of tokens."""
        return self._on("bounds", device, self._bounds)

    def padded_places(self, device: torch.device) -> Tensor:
        """[T]: the place of each token among N · `longest`, if all sentences were padded to the longest."""
        return self._on("places", device, self._padded_places)

    def padded(self) -> Packing:
        """The packing of the same sentences, each of them as long as the longest."""
        return Packing(((0, len(self.lengths), self.longest),))

    def repeated(self, copies: int) -> Packing:
        """The packing of the same sentences, each of them `copies` times in a row."""
        if copies not in self._repeated:
            runs = tuple((start * copies, count, length * copies) for start, count, length in self.runs)
            self._repeated[copies] = Packing(runs)
        return self._repeated[copies]

    def copied_tokens(self, copies: int, device: torch.device) -> Tensor:
        """[copies * T]: the token at each place of `repeated`."""
        return self._on(f"copied {copies}", device, lambda: self._copied_tokens(copies))

    def last_copies(self, copies: int, device: torch.device) -> Tensor:
        """[T]: the place in `repeated` of the last copy of each token."""
        return self._on(f"last {copies}", device, lambda: self._last_copies(copies))

    def to_device(self, device: torch.device) -> None:
        """Move the tensors that every model needs; the others move when they are first needed."""
        self.positions(device)
        if device.type == "cuda":
            self.bounds(device)

    def _on(self, name: str, device: torch.device, build: Callable[[], Tensor]) -> Tensor:
        if (name, device) not in self._tensors:
            # What evaluation has cached may also be used in training, where autograd saves it.
            with torch.inference_mode(False):
                self._tensors[name, device] = to_device(build(), device)
        return self._tensors[name, device]

    def _positions(self) -> Tensor:
        return torch.cat([torch.arange(length).repeat(count) for _, count, length in self.runs])

    def _bounds(self) -> Tensor:
        return torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32)

    def _copied_tokens(self, copies: int) -> Tensor:
        parts = [
            torch.arange(start, start + count * length).view(count, length).repeat(1, copies).flatten()
            for start, count, length in self.runs
        ]
        return torch.cat(parts)

    def _last_copies(self, copies: int) -> Tensor:
        lengths = torch.tensor(self.lengths)
        ends_T = (lengths.cumsum(0) * copies - lengths).repeat_interleave(lengths)
        return ends_T + self._positions()

    def _padded_places(self) -> Tensor:
        lengths = torch.tensor(self.lengths)
        rows_T = torch.arange(len(lengths)).repeat_interleave(lengths)
        return rows_T * self.longest + self._positions()


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
