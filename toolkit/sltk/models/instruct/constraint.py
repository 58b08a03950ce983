"""Constrained decoding: only what an automaton allows can be generated, and it always comes to an end in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import LogitsProcessor

from .automaton import Automaton, State
from .vocabulary import Vocabulary


@dataclass
class Walk:
    """Where one response stands."""

    automaton: Automaton
    vocabulary: Vocabulary
    end: int
    room: int
    """Subwords that it may still have, its end among them."""
    state: State = ()
    allowed: dict[int, State] = field(default_factory=dict)
    """The subwords that may come next, and the state after each."""

    def __post_init__(self) -> None:
        self._enter(self.automaton.start)

    def step(self, number: int) -> None:
        """Go on with a subword that is allowed; after the end there is nothing but the end."""
        self.room -= 1
        if number != self.end:
            self._enter(self.allowed[number])
        else:
            self.allowed = {self.end: ()}

    def _enter(self, state: State) -> None:
        """A subword may come if the rest can be written in time, one byte a subword if need be."""
        self.state = state
        after = self.vocabulary.allowed(self.automaton, state)
        self.allowed = {number: to for number, to in after if self.automaton.to_end(to) + 2 <= self.room}
        if self.automaton.is_end(state):
            self.allowed[self.end] = state


class SpanConstraint(LogitsProcessor):  # type: ignore[misc]
    """Leaves a response, row by row, only what its walk allows. Also fit for transformers' `generate`."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self.walks = list(walks)
        self._begun = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [rows, V], minus infinity where a subword is not allowed; the last of `input_ids` is new."""
        if self._begun:
            for walk, number in zip(self.walks, input_ids[:, -1].tolist(), strict=True):
                walk.step(number)
        self._begun = True
        kept = torch.full_like(scores, -torch.inf)
        for row, walk in enumerate(self.walks):
            numbers = torch.tensor(list(walk.allowed), device=scores.device)
            kept[row, numbers] = scores[row, numbers]
        return kept

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        self.walks = [self.walks[row] for row in rows]
