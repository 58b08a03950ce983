"""Constrained decoding: a model generates only responses that an automaton allows, within a maximum length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor

from .automaton import Automaton, State
from .vocabulary import Vocabulary


class ConstrainedResponse:
    """One response while it is generated.

    Args:
        automaton: the responses that the sentence allows.
        vocabulary: the subwords of the model.
        end: the subword that ends a response.
        limit: maximum number of subwords, including the end.
    """

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary, end: int, limit: int) -> None:
        self._automaton, self._vocabulary, self._end, self._limit = automaton, vocabulary, end, limit
        self.allowed: dict[int, State] = {}
        """The subwords that may come next, and the state after each."""
        self._enter(automaton.start)

    def append(self, number: int) -> None:
        """Append an allowed subword. After the end, only the end is allowed."""
        self._limit -= 1
        if number != self._end:
            self._enter(self.allowed[number])
        else:
            self.allowed = {self._end: ()}

    def _enter(self, state: State) -> None:
        """Allow subwords after which the response still fits the limit, even if each remaining byte takes a subword."""
        steps = self._vocabulary.allowed(self._automaton, state)
        self.allowed = {
            number: after for number, after in steps if self._automaton.to_end(after) + 2 <= self._limit
        }
        if self._automaton.is_end(state):
            self.allowed[self._end] = state


class SpanConstraint(LogitsProcessor):  # type: ignore[misc]
    """Restricts each row to the subwords that its response allows. Also works in transformers' `generate`."""

    def __init__(self, responses: Sequence[ConstrainedResponse]) -> None:
        self.responses = list(responses)
        self._has_started = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [rows, V], minus infinity for subwords that are not allowed; the last column of `input_ids` is new."""
        if self._has_started:
            for response, number in zip(self.responses, input_ids[:, -1].tolist(), strict=True):
                response.append(number)
        self._has_started = True
        masked = torch.full_like(scores, -torch.inf)
        for row, response in enumerate(self.responses):
            numbers = torch.tensor(list(response.allowed), device=scores.device)
            masked[row, numbers] = scores[row, numbers]
        return masked

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows."""
        self.responses = [self.responses[row] for row in rows]
