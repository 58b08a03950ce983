"""Paired tests of scores, such as those of two configurations seed by seed, and Holm's correction.

Differences are `a - b`; `greater` tests whether a scores higher than b, as in `scipy.stats.ttest_rel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...runtime.optional_imports import import_optional

Alternative = Literal["two-sided", "greater", "less"]
Floats = NDArray[np.float64]

_FEW = 5
"""With fewer pairs than this no test or interval can be trusted."""
_FEWEST_FOR_G = 3
_MOST_SIGNS = 2**14


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of one test; `p` is None where it cannot be computed, and `notes` say why."""

    test: str
    n: int
    """Number of pairs."""
    difference: float
    """Mean of a minus mean of b."""
    p: float | None
    statistic: float | None = None
    """t, for a t-test."""
    notes: tuple[str, ...] = ()
    __test__ = False  # not a test case of pytest


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval of a difference; both ends are None where it cannot be computed."""

    low: float | None
    high: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EffectSize:
    """A mean difference in standard deviations of the differences (Cohen's d_z); None if they do not vary.

    `g` is d with Hedges' correction, because d is too large for few pairs. Two pairs have no g: with one degree of
    freedom d has no mean, and the correction multiplies it by 0. `notes` say why a value is missing.
    """

    d: float | None
    g: float | None
    notes: tuple[str, ...] = ()


def differences(a: ArrayLike, b: ArrayLike) -> Floats:
    """The differences a - b of paired scores.

    Raises:
        ValueError: the lists are empty or differ in length, or a score is not finite.
    """
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if left.shape != right.shape or left.ndim != 1 or not left.size:
        raise ValueError(
            f"paired scores must be two lists of the same length, not of shape {left.shape} and {right.shape}"
        )
    result = left - right
    if not np.isfinite(result).all():
        raise ValueError("a score is not a finite number")
    return result


def paired_t(a: ArrayLike, b: ArrayLike, alternative: Alternative = "two-sided") -> TestResult:
    """Student's paired t-test with n - 1 degrees of freedom.

    Assumes independent, normally distributed differences, which a few seeds can neither confirm nor refute.
    """
    d = differences(a, b)
    mean, n = float(d.mean()), d.size
    if notes := _no_variation(d):
        return TestResult("paired t", n, mean, None, notes=notes)
    result = _stats().ttest_1samp(d, 0.0, alternative=alternative)
    return TestResult("paired t", n, mean, float(result.pvalue), float(result.statistic), _few_pairs(n))


def sign_flip(a: ArrayLike, b: ArrayLike, alternative: Alternative = "two-sided") -> TestResult:
    """Permutation test: under the null hypothesis the sign of each difference is random.

    Does not assume normality. Exact (all 2^n signs) up to 14 pairs, otherwise with 2^14 random ones. The smallest p
    that n pairs can give is 1 / 2^n, or twice that if two-sided.
    """
    d = differences(a, b)
    n, mean = d.size, float(d.mean())
    if n < 2:
        return TestResult("sign flip", n, mean, None, notes=_no_variation(d))
    result = _stats().permutation_test(
        (d,),
        _rounded_sum,
        permutation_type="samples",
        n_resamples=_MOST_SIGNS,
        alternative=alternative,
        rng=0,
    )
    test = "sign flip" if 2**n <= _MOST_SIGNS else "sign flip, sampled"
    least = (2 if alternative == "two-sided" else 1) / 2**n
    notes = _few_pairs(n) if least <= 0.05 else (f"sign flips of {n} pairs cannot give a p below {least:g}",)
    return TestResult(test, n, mean, float(result.pvalue), notes=notes)


def _rounded_sum(d: Floats, axis: int) -> Floats:
    """Sums whose ties are exact: scipy misses ties that rounding hides, such as 0.1 + 0.2 and 0.3."""
    return np.asarray(np.round(np.sum(d, axis=axis), 10))


def effect_size(a: ArrayLike, b: ArrayLike) -> EffectSize:
    """Cohen's d_z of paired scores, without and with Hedges' correction for few pairs."""
    d = differences(a, b)
    if notes := _no_variation(d):
        return EffectSize(None, None, notes)
    size = float(d.mean() / d.std(ddof=1))
    if d.size < _FEWEST_FOR_G:
        return EffectSize(size, None, (f"g is undefined for {d.size} pairs",))
    return EffectSize(size, size * (1 - 3 / (4 * (d.size - 1) - 1)))


def t_interval(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Interval of the mean difference by the t distribution: wider and safer for few pairs than a bootstrap."""
    d = differences(a, b)
    if notes := _no_variation(d):
        return Interval(None, None, notes)
    low, high = _stats().ttest_1samp(d, 0.0).confidence_interval(confidence)
    return Interval(float(low), float(high), _few_pairs(d.size))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Interval of a mean by the t distribution: the mean of other seeds, on the same sentences."""
    return t_interval(values, np.zeros_like(np.asarray(values, np.float64)), confidence)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values after Holm's step-down correction (Holm 1979), in the order given.

    Rejecting where an adjusted value is below alpha keeps the chance of any false rejection below alpha. A test
    without a p-value (None) stays None and still counts as one of the family, which errs on the safe side.
    """
    ranked = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    scaled = (min(1.0, p * (len(p_values) - rank)) for rank, (p, _) in enumerate(ranked))
    adjusted = {position: p for (_, position), p in zip(ranked, accumulate(scaled, max), strict=True)}
    return [adjusted.get(position) for position in range(len(p_values))]


def _no_variation(d: Floats) -> tuple[str, ...]:
    """A note if differences do not vary, up to rounding, so that they have no t, interval or effect size."""
    if d.size == 1:
        return ("one pair is too few for a test",)
    constant = float(np.ptp(d)) <= 1e-12 * max(1.0, float(np.abs(d).max()))
    return ("the differences do not vary: t is undefined",) if constant else ()


def _few_pairs(n: int) -> tuple[str, ...]:
    return (f"only {n} pairs",) if n < _FEW else ()


def _stats() -> Any:
    """`scipy.stats`, which only some commands need and which is slow to import."""
    return import_optional("scipy.stats", "a significance test", "report")
