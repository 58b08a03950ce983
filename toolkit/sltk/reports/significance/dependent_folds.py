"""Tests over the folds of a cross-validation, whose scores are not independent.

The training data of any two of k folds share (k - 2) / (k - 1) of their sentences, so the scores of folds vary less
than those of k separate data sets would, and the usual t-test over folds rejects far too often. Nadeau and Bengio
(2003) replace the variance of the mean, s² / k, by s² (1 / k + test / train) with the sizes of both parts.
"""

from __future__ import annotations

from math import sqrt

from numpy.typing import ArrayLike

from .paired import Alternative, Interval, TestResult, _few_pairs, _no_variation, _stats, differences

NAME = "corrected resampled t"


def corrected_t(
    a: ArrayLike, b: ArrayLike, ratio: float, alternative: Alternative = "two-sided"
) -> TestResult:
    """The corrected resampled t-test (Nadeau and Bengio 2003) of paired scores of folds, with k - 1 degrees of freedom.

    Args:
        a: one score per fold.
        b: the scores of the other configuration on the same folds.
        ratio: number of test sentences divided by the number of training sentences of a fold.
        alternative: what to test for.
    """
    d = differences(a, b)
    mean, n = float(d.mean()), d.size
    if notes := _no_variation(d):
        return TestResult(NAME, n, mean, None, notes=notes)
    t = mean / _error(float(d.std(ddof=1)), n, ratio)
    distribution = _stats().t(n - 1)
    p = {
        "two-sided": 2 * float(distribution.sf(abs(t))),
        "greater": float(distribution.sf(t)),
        "less": float(distribution.cdf(t)),
    }[alternative]
    return TestResult(NAME, n, mean, p, t, _few_pairs(n))


def corrected_interval(a: ArrayLike, b: ArrayLike, ratio: float, confidence: float = 0.95) -> Interval:
    """The interval of the mean difference that belongs to `corrected_t`."""
    d = differences(a, b)
    if notes := _no_variation(d):
        return Interval(None, None, notes)
    half = float(_stats().t(d.size - 1).ppf((1 + confidence) / 2)) * _error(
        float(d.std(ddof=1)), d.size, ratio
    )
    return Interval(float(d.mean()) - half, float(d.mean()) + half, _few_pairs(d.size))


def _error(deviation: float, folds: int, ratio: float) -> float:
    """The standard error of the mean difference."""
    return deviation * sqrt(1 / folds + ratio)
