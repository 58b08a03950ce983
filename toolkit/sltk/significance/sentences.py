"""Tests over the sentences of a test set: would other sentences of the kind have given the same ranking?

F1 is no mean over sentences, so it is computed again from the counts of each resample. Where each side has
several runs (seeds), a sentence is swapped or drawn in all of them at once, and the statistic is the mean of
the runs' F1: sentences are what is sampled, not runs.

Shapes: R resamples, S sentences, N runs of a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .paired import Alternative, Floats, Interval, TestResult, percentile_interval

_CELLS = 4_000_000
"""Largest number of cells of a block of resamples: 32 MB."""


@dataclass(frozen=True, slots=True)
class SentenceCounts:
    """Spans of each sentence, in one run: gold ones, predicted ones, and those in both alike."""

    gold: Sequence[int]
    predicted: Sequence[int]
    correct: Sequence[int]

    def __post_init__(self) -> None:
        if not len(self.gold) == len(self.predicted) == len(self.correct):
            raise ValueError("gold, predicted and correct are counts of the same sentences")

    def __len__(self) -> int:
        return len(self.gold)

    @property
    def f1(self) -> float:
        """Micro F1 over all sentences."""
        return float(_f1(np.array([[sum(self.gold) + sum(self.predicted), sum(self.correct)]]))[0])


def f1_randomisation(
    a: Sequence[SentenceCounts],
    b: Sequence[SentenceCounts],
    alternative: Alternative = "two-sided",
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> TestResult:
    """Paired approximate randomisation (Noreen 1989; Yeh 2000): a sentence's outputs are swapped, or not.

    Without a difference between a and b, swapping changes nothing but by chance. `p` counts the observed
    assignment as one of `draws + 1`. Says nothing of what other seeds would give.

    Raises:
        ValueError: the runs are not of the same sentences.
    """
    left, right = _side(a), _side(b)
    _check(left, right)
    observed = _mean_f1(left.sum(axis=0)) - _mean_f1(right.sum(axis=0))
    one, other, change = left.sum(axis=0), right.sum(axis=0), _flat(right - left)
    differing = change[np.any(change != 0, axis=1)]
    if not len(differing):
        return _result(len(left), float(observed), 1.0, ("the predictions have the same counts everywhere",))
    rng = np.random.default_rng(seed)
    extreme = 0
    for size in _blocks(draws, len(differing)):
        moved = rng.integers(0, 2, (size, len(differing)), np.int8).astype(np.float64) @ differing
        moved = moved.reshape(size, *one.shape)
        found = _mean_f1(one + moved) - _mean_f1(other - moved)
        extreme += _as_extreme(found, float(observed), alternative)
    notes = (f"only {len(differing)} sentences differ",) if len(differing) < 10 else ()
    return _result(len(left), float(observed), (extreme + 1) / (draws + 1), notes)


def f1_interval(
    a: Sequence[SentenceCounts],
    b: Sequence[SentenceCounts],
    confidence: float = 0.95,
    *,
    draws: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over sentences of the difference in F1, a minus b.

    Raises:
        ValueError: the runs are not of the same sentences.
    """
    left, right = _side(a), _side(b)
    _check(left, right)
    counts = np.concatenate([_flat(left), _flat(right)], axis=1)
    rng = np.random.default_rng(seed)
    found = [
        _difference(_drawn(rng, size, len(left)) @ counts, left.shape[1])
        for size in _blocks(draws, len(left))
    ]
    return percentile_interval(np.concatenate(found), confidence)


def _side(runs: Sequence[SentenceCounts]) -> Floats:
    """[S, N, 2]: gold plus predicted spans, and correct ones."""
    if not runs or any(len(run) != len(runs[0]) for run in runs):
        raise ValueError("a side has one run or more, all of the same sentences")
    sums = [np.add(run.gold, run.predicted) for run in runs]
    return np.stack([np.stack(sums), np.stack([run.correct for run in runs])], axis=-1).swapaxes(0, 1) * 1.0


def _check(left: Floats, right: Floats) -> None:
    if left.shape != right.shape:
        raise ValueError(
            f"{left.shape[1]} runs of {left.shape[0]} sentences against {right.shape[1]} of {right.shape[0]}: "
            "a sentence can be swapped only with itself"
        )


def _flat(counts: Floats) -> Floats:
    return counts.reshape(len(counts), -1)


def _f1(totals: Floats) -> Floats:
    """F1 of [..., 2] totals; 0 where there is no span at all."""
    sums, correct = totals[..., 0], totals[..., 1]
    return np.divide(2.0 * correct, sums, out=np.zeros(sums.shape), where=sums > 0)


def _mean_f1(totals: Floats) -> Floats:
    """Mean over the runs of [..., N, 2] totals."""
    return np.asarray(_f1(totals).mean(axis=-1))


def _difference(totals: Floats, runs: int) -> Floats:
    both = totals.reshape(len(totals), 2, runs, 2)
    return _mean_f1(both[:, 0]) - _mean_f1(both[:, 1])


def _drawn(rng: np.random.Generator, size: int, sentences: int) -> NDArray[np.float64]:
    """How often each sentence is drawn, `sentences` draws with replacement a row: [size, S]."""
    picks = rng.integers(0, sentences, (size, sentences)) + sentences * np.arange(size)[:, None]
    return np.bincount(picks.ravel(), minlength=size * sentences).reshape(size, sentences).astype(np.float64)


def _blocks(draws: int, width: int) -> Iterator[int]:
    """Sizes of blocks of resamples that fit in memory."""
    most = max(1, _CELLS // max(1, width))
    while draws > 0:
        yield min(most, draws)
        draws -= most


def _as_extreme(found: Floats, observed: float, alternative: Alternative) -> int:
    if alternative == "two-sided":
        found, observed = np.abs(found), abs(observed)
    elif alternative == "less":
        found, observed = -found, -observed
    return int(np.count_nonzero(found >= observed - 1e-12))


def _result(n: int, difference: float, p: float, notes: tuple[str, ...]) -> TestResult:
    return TestResult("approximate randomisation", n, difference, p, difference, notes)
