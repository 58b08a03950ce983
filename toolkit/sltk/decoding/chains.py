"""Linear chains of tags: the best path (Viterbi), and probabilities over all paths (forward-backward).

The score of a path is the sum of the emissions of its words and of the transitions between its tags. Everything is
computed in log space and for all sentences of a batch at once, without padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tag_transitions import FORBIDDEN, Floats, Integers, Transitions
from .word_steps import WordSteps

_NUMBERS_AT_ONCE = 1 << 18
"""Path scores in memory at once: 1 MiB in float32, which fits in the cache of a processor."""
_UNDERFLOW = -600.0
"""Differences between scores whose exponential float64 can hardly represent."""


def best_paths(emissions_WL: Floats, lengths_S: Sequence[int], transitions: Transitions) -> Integers:
    """The tags [W] of the most probable path of each sentence. Of equally probable tags, the first one is taken."""
    if not len(emissions_WL):
        return np.zeros(0, dtype=np.int64)
    steps = WordSteps.of(lengths_S)
    into_LL = np.ascontiguousarray(transitions.pairs_LL.T)  # [after, before]
    emissions = steps.split(emissions_WL)
    scores, pointers = [transitions.start_L + emissions[0]], []
    for emission_NL in emissions[1:]:
        best_NL, pointer_NL = _best_before(scores[-1][: len(emission_NL)], into_LL)
        scores.append(best_NL + emission_NL)
        pointers.append(pointer_NL)
    return steps.join(_backtrace([score_NL + transitions.end_L for score_NL in scores], pointers))


def _best_before(scores_NL: Floats, into_LL: Floats) -> tuple[Floats, Integers]:
    """The best score of a path that leads into each tag, and the tag before it."""
    best_NL, pointer_NL = np.empty_like(scores_NL), np.empty(scores_NL.shape, dtype=np.int64)
    rows = max(1, _NUMBERS_AT_ONCE // into_LL.size)
    for start in range(0, len(scores_NL), rows):
        part = slice(start, start + rows)
        paths_NLL = scores_NL[part, None, :] + into_LL
        pointer_NL[part] = paths_NLL.argmax(2)
        best_NL[part] = paths_NLL.max(2)
    return best_NL, pointer_NL


def _backtrace(final: Sequence[Floats], pointers: Sequence[Integers]) -> list[Integers]:
    """The tags [N] of each step, traced back from the best last tag of each sentence.

    `final[t]` [N, L] scores paths that end at step t; `pointers[t]` [N, L] leads from step t+1 to step t.
    """
    tags = [final[-1].argmax(1)]
    for final_NL, pointer_NL in zip(reversed(final[:-1]), reversed(pointers), strict=True):
        continued = pointer_NL[np.arange(len(pointer_NL)), tags[-1]]
        tags.append(np.concatenate([continued, final_NL[len(continued) :].argmax(1)]))
    return tags[::-1]


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The probabilities of all paths of packed sentences, computed once (forward-backward)."""

    emissions_WL: Floats
    transitions: Transitions
    forward_WL: Floats
    """Log of the summed exponentiated scores of all paths up to each tag, its emission included."""
    backward_WL: Floats
    """The same for all paths after each tag."""
    total_W: Floats
    """The same for all paths of the sentence of each word."""
    is_first_W: NDArray[np.bool_]
    """Whether each word is the first of its sentence."""

    @classmethod
    def of(cls, emissions_WL: Floats, lengths_S: Sequence[int], transitions: Transitions) -> Chain:
        """Sum over all paths of sentences of these lengths, in float64."""
        emissions_WL = emissions_WL.astype(np.float64)
        is_first_W = np.zeros(len(emissions_WL), dtype=bool)
        if not len(emissions_WL):
            return cls(emissions_WL, transitions, emissions_WL, emissions_WL, emissions_WL[:, 0], is_first_W)
        steps = WordSteps.of(lengths_S)
        is_first_W[steps.first_S] = True
        emissions = steps.split(emissions_WL)
        forward_WL = steps.join(_forward(emissions, transitions))
        backward_WL = steps.join(_backward(emissions, transitions))
        total_W = _log_sum(forward_WL + backward_WL)
        return cls(emissions_WL, transitions, forward_WL, backward_WL, total_W, is_first_W)

    def marginals(self) -> Floats:
        """The probability of each tag at each word, [W, L]."""
        return np.exp(np.minimum(self.forward_WL + self.backward_WL - self.total_W[:, None], 0.0))

    def span_probabilities(self, tags_W: Integers, starts: Integers, ends: Integers) -> Floats:
        """The probability that the words of each span have the tags `tags_W`, all of them together.

        Spans are half-open over packed words, and none of them crosses sentences.
        """
        rows = np.arange(len(tags_W))
        steps_W = self.emissions_WL[rows, tags_W]
        steps_W[1:] += self.transitions.pairs_LL[tags_W[:-1], tags_W[1:]]
        steps_W[self.is_first_W] = 0.0  # a path cannot come from the sentence before
        sums_W = np.cumsum(steps_W)
        last = ends - 1
        before = self.forward_WL[starts, tags_W[starts]] - self.total_W[starts]
        within = sums_W[last] - sums_W[starts]
        return np.exp(np.minimum(before + within + self.backward_WL[last, tags_W[last]], 0.0))


def marginals(emissions_WL: Floats, lengths_S: Sequence[int], transitions: Transitions) -> Floats:
    """The probability of each tag at each word, [W, L], over all paths of its sentence."""
    return Chain.of(emissions_WL, lengths_S, transitions).marginals()


def _forward(emissions: Sequence[Floats], transitions: Transitions) -> list[Floats]:
    step = _Step(transitions.pairs_LL)
    sums: list[Floats] = [transitions.start_L + emissions[0]]
    for emission_NL in emissions[1:]:
        sums.append(step(sums[-1][: len(emission_NL)]) + emission_NL)
    return sums


def _backward(emissions: Sequence[Floats], transitions: Transitions) -> list[Floats]:
    step = _Step(transitions.pairs_LL.T)
    sums: list[Floats] = []
    next_NL = emissions[0][:0]
    for emission_NL in reversed(emissions):
        continued = step(next_NL)
        ended = np.broadcast_to(transitions.end_L, (len(emission_NL) - len(continued), emission_NL.shape[1]))
        sums.append(np.concatenate([continued, ended]))
        next_NL = sums[-1] + emission_NL
    return sums[::-1]


class _Step:
    """Sums over all tags of one word, into each tag of an adjacent one, as a product of matrices."""

    def __init__(self, pairs_LL: Floats) -> None:
        self.pairs_LL = pairs_LL.astype(np.float64)
        self.weights_LL = np.exp(self.pairs_LL)

    def __call__(self, sums_NL: Floats) -> Floats:
        peak_N1 = sums_NL.max(1, keepdims=True)
        relative_NL = sums_NL - peak_N1
        with np.errstate(divide="ignore"):
            after_NL: Floats = np.log(np.exp(relative_NL) @ self.weights_LL)
        # Tags that nothing leads into are as good as forbidden, instead of minus infinity.
        after_NL = np.maximum(after_NL, FORBIDDEN) + peak_N1
        lost_N = ((relative_NL < _UNDERFLOW) & (relative_NL > FORBIDDEN / 2)).any(1)
        for row in np.flatnonzero(lost_N):  # rare: it takes scores of a model that diverged
            after_NL[row] = _log_sum(sums_NL[row] + self.pairs_LL.T)
        return after_NL


def _log_sum(scores: Floats) -> Floats:
    """Log of the sum of the exponentials over the last axis, without overflow."""
    peak = scores.max(-1, keepdims=True)
    total: Floats = np.log(np.exp(scores - peak).sum(-1)) + peak[..., 0]
    return total
