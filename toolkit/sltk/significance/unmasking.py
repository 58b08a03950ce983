"""The paper's significance question: does unmasking extra groups nearer the output help?

Dukić & Šnajder (2024): for every configuration A other than 0000 whose rightmost 1 is at position L, every B
that agrees with A left of L, has 1 at L and at least one 1 right of it. For four groups that is 17 pairs, over
whose means they make a one-sided paired t-test, mean(A) < mean(B), at alpha .01.

The pairs share configurations (1000 is the A of seven of the 17), so they are not independent, and the test
rejects far too often: see docs/guides/report.md. `unmasking_over_seeds` asks the same of seeds, which are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from .paired import TestResult, paired_t, sign_flip

ALPHA = 0.01
_OVERLAP = "the pairs share configurations and are not independent: p is too small"


@dataclass(frozen=True, slots=True)
class UnmaskingTest:
    """The paper's test: `rejected` says that unmasking groups nearer the output is found to help."""

    pairs: int
    result: TestResult
    alpha: float
    rejected: bool | None
    """None where the test cannot be made."""


def unmasking_pairs(groups: int) -> list[tuple[str, str]]:
    """All pairs (A, B) of masks of so many digits where B unmasks what A does, and more nearer the output.

    4 groups give 17 pairs.
    """
    pairs = []
    for digits in product("01", repeat=groups):
        mask = "".join(digits)
        last = mask.rfind("1")
        if last < 0:
            continue
        endings = ("".join(ending) for ending in product("01", repeat=groups - last - 1))
        pairs += [(mask, mask[: last + 1] + ending) for ending in endings if "1" in ending]
    return pairs


def unmasking_test(means: Mapping[str, float], alpha: float = ALPHA) -> UnmaskingTest:
    """The paper's test, as it is, on the mean score of each of the 2^m masks.

    Raises:
        ValueError: a mask is missing.
    """
    pairs = unmasking_pairs(_groups(means))
    if not pairs:
        raise ValueError("masks of one digit have no pairs")
    result = paired_t([means[a] for a, _ in pairs], [means[b] for _, b in pairs], "less")
    result = replace(result, test="paired t over configurations", notes=(*result.notes, _OVERLAP))
    return UnmaskingTest(len(pairs), result, alpha, None if result.p is None else result.p < alpha)


def unmasking_over_seeds(scores: Mapping[str, Mapping[int, float]]) -> tuple[TestResult, TestResult]:
    """The same question with seeds as the unit: t-test and sign flips of each seed's mean over the pairs.

    `scores` are mask → seed → score; seeds that not all masks have are left out. The alternative is, as in
    the paper, mean(A) < mean(B).

    Raises:
        ValueError: a mask is missing, or no seed has all of them.
    """
    pairs = unmasking_pairs(_groups(scores))
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    if not seeds or not pairs:
        raise ValueError("no seed was run with every mask")
    less = [float(np.mean([scores[a][seed] for a, _ in pairs])) for seed in seeds]
    more = [float(np.mean([scores[b][seed] for _, b in pairs])) for seed in seeds]
    return paired_t(less, more, "less"), sign_flip(less, more, "less")


def _groups(masks: Mapping[str, object]) -> int:
    """The number of digits of a complete set of masks."""
    count = len(next(iter(masks), ""))
    wanted = {"".join(digits) for digits in product("01", repeat=count)}
    if missing := sorted(wanted - set(masks)):
        raise ValueError(f"masks missing: {', '.join(missing[:6])}")
    return count
