"""Tests over the sentences of a test set: would the ranking hold on other sentences of the same kind?

F1 is not a mean over sentences, so it is computed again from the counts of each resample. Where each side has
several runs (seeds), a sentence is swapped or drawn in all of them together, and the statistic is the mean of
the runs' F1: the sample consists of sentences, not of runs. With `weights`, it is the weighted sum of the runs' F1
instead: a side that holds the runs of two configurations, with weights of different signs, stands for their
difference, so that two differences are compared as two configurations are.

Shapes: R resamples, S sentences, N runs per side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..run_records import SentenceCounts
from .paired import Alternative, Floats, Interval, TestResult

_MOST_CELLS = 4_000_000
"""Largest number of cells in a block of resamples: 32 MB."""


def f1_randomisation(
    a: Sequence[SentenceCounts],
    b: Sequence[SentenceCounts],
    alternative: Alternative = "two-sided",
    *,
    weights: Sequence[float] | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> TestResult:
    """Paired approximate randomisation (Noreen 1989; Yeh 2000): each sentence's outputs are swapped, or not.

    Under the null hypothesis, swapping the outputs of a and b changes F1 by chance only. `p` counts the observed
    assignment as one of `draws + 1`. The test does not say what other seeds would give.

    Args:
        weights: one per run of a side; by default, the mean of the runs.

    Raises:
        ValueError: the runs are not on the same sentences, or one side has more runs.
    """
    counts = _counts(a, b)
    totals = counts.sum(axis=0)
    observed = float(_f1_difference(totals, weights))
    changes = counts[:, 1] - counts[:, 0]
    changes = changes[np.any(changes != 0, axis=(1, 2))].reshape(-1, totals[0].size)
    sentences, differing = len(counts), len(changes)
    if not differing:
        notes: tuple[str, ...] = ("the predictions have the same counts everywhere",)
        return TestResult("approximate randomisation", sentences, observed, 1.0, notes=notes)
    rng = np.random.default_rng(seed)
    side = {"two-sided": np.abs, "greater": np.positive, "less": np.negative}[alternative]
    extreme = 0
    for size in _blocks(draws, differing):
        swapped = rng.integers(0, 2, (size, differing), np.int8).astype(np.float64) @ changes
        swapped = swapped.reshape(size, *totals[0].shape)
        resampled = _f1_difference(np.stack([totals[0] + swapped, totals[1] - swapped], axis=1), weights)
        extreme += int(np.count_nonzero(side(resampled) >= side(observed) - 1e-12))
    notes = (f"only {differing} sentences differ",) if differing < 10 else ()
    p = (extreme + 1) / (draws + 1)
    return TestResult("approximate randomisation", sentences, observed, p, notes=notes)


def f1_interval(
    a: Sequence[SentenceCounts],
    b: Sequence[SentenceCounts],
    confidence: float = 0.95,
    *,
    weights: Sequence[float] | None = None,
    draws: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over sentences of the difference in F1, a minus b.

    Args:
        weights: one per run of a side; by default, the mean of the runs.

    Raises:
        ValueError: the runs are not on the same sentences, or one side has more runs.
    """
    resampled = _f1_difference(_bootstrap(_counts(a, b), draws, seed), weights)
    return _percentiles(resampled, confidence)


def f1_intervals(
    groups: Sequence[tuple[Sequence[SentenceCounts], Sequence[SentenceCounts]]],
    confidence: float = 0.95,
    *,
    draws: int = 2_000,
    seed: int = 0,
) -> list[Interval]:
    """The `f1_interval` of several differences on the same sentences, from the same resamples.

    Raises:
        ValueError: the runs are not on the same sentences, or one side has more runs.
    """
    counts = np.stack([_counts(a, b) for a, b in groups], axis=1)
    resampled = _f1_difference(_bootstrap(counts, draws, seed))
    return [_percentiles(resampled[:, place], confidence) for place in range(len(groups))]


def f1_mean_interval(
    runs: Sequence[SentenceCounts], confidence: float = 0.95, *, draws: int = 2_000, seed: int = 0
) -> Interval:
    """Percentile bootstrap over sentences of the mean F1 of runs.

    Raises:
        ValueError: the runs are not on the same sentences.
    """
    totals = _bootstrap(_counts(runs, runs)[:, :1], draws, seed)
    return _percentiles(_f1(totals)[..., 0, :].mean(axis=-1), confidence)


def _bootstrap(counts: Floats, draws: int, seed: int) -> Floats:
    """Counts summed over the sentences of each resample, [R, …], from counts per sentence, [S, …]."""
    rng = np.random.default_rng(seed)
    flat = counts.reshape(len(counts), -1)
    totals = [_frequencies(rng, size, len(flat)) @ flat for size in _blocks(draws, len(flat))]
    return np.concatenate(totals).reshape(draws, *counts.shape[1:])


def _percentiles(resampled: Floats, confidence: float) -> Interval:
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _counts(a: Sequence[SentenceCounts], b: Sequence[SentenceCounts]) -> Floats:
    """Counts of both sides, [S, 2, N, 2]: the last axis has gold plus predicted spans, and correct ones."""
    lengths = {len(run) for run in (*a, *b)}
    if len(a) != len(b) or len(lengths) != 1:
        raise ValueError(
            f"{len(a)} runs against {len(b)}, of {sorted(lengths)} sentences: "
            "a sentence can be swapped only with itself"
        )
    sides = [[[np.add(run.gold, run.predicted), run.correct] for run in side] for side in (a, b)]
    return np.moveaxis(np.array(sides, np.float64), -1, 0)


def _f1_difference(totals: Floats, weights: Sequence[float] | None = None) -> Floats:
    """Mean F1 of the first side minus that of the second, [...], from totals [..., 2, N, 2]."""
    f1 = _f1(totals)
    side = f1.mean(axis=-1) if weights is None else f1 @ np.asarray(weights, np.float64)
    return np.asarray(side[..., 0] - side[..., 1])


def _f1(totals: Floats) -> Floats:
    """F1 of each run, [..., N], from totals [..., N, 2]; F1 of no spans is 0."""
    spans, correct = totals[..., 0], totals[..., 1]
    return np.divide(2.0 * correct, spans, out=np.zeros(spans.shape), where=spans > 0)


def _frequencies(rng: np.random.Generator, size: int, sentences: int) -> Floats:
    """The count of each sentence in each resample, [R, S]: S draws with replacement per row."""
    picks = rng.integers(0, sentences, (size, sentences)) + sentences * np.arange(size)[:, None]
    return np.bincount(picks.ravel(), minlength=size * sentences).reshape(size, sentences).astype(np.float64)


def _blocks(draws: int, width: int) -> list[int]:
    """Sizes of blocks of resamples that fit in memory."""
    most = max(1, _MOST_CELLS // max(1, width))
    return [min(most, draws - start) for start in range(0, draws, most)]
