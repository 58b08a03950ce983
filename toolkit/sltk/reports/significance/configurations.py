"""The paper's significance test: does unmasking further groups nearer the output help?

Dukić & Šnajder (2024): let the rightmost 1 of a configuration A other than 0000 be at position L. A is paired
with every B that agrees with A up to L and has at least one 1 to the right of it. Four groups give 17 pairs. The
test is a one-sided paired t-test over their mean scores, mean(A) < mean(B), at alpha 0.01.

The pairs share configurations (1000 is the A of seven of the 17), so they are not independent, and the test
rejects far too often: see docs/guides/report.md. `unmasking_over_seeds` asks the same question of seeds, which are
independent.
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
    """The result of the paper's test."""

    result: TestResult
    alpha: float

    @property
    def rejected(self) -> bool | None:
        """Whether the null hypothesis is rejected, so that unmasking helps; None if the test has no p."""
        return None if self.result.p is None else self.result.p < self.alpha


def unmasking_pairs(groups: int) -> list[tuple[str, str]]:
    """All pairs (A, B) of masks of `groups` digits where B unmasks what A does, and more nearer the output.

    4 groups give 17 pairs.
    """
    pairs = []
    for digits in product("01", repeat=groups):
        mask = "".join(digits)
        start = mask.rfind("1") + 1
        if start:
            endings = ("".join(ending) for ending in product("01", repeat=groups - start))
            pairs += [(mask, mask[:start] + ending) for ending in endings if "1" in ending]
    return pairs


def unmasking_test(means: Mapping[str, float], alpha: float = ALPHA) -> UnmaskingTest:
    """The paper's test, unchanged, on the mean score of each of the 2^m masks.

    Raises:
        ValueError: a mask is missing.
    """
    pairs = _pairs(means)
    result = paired_t([means[a] for a, _ in pairs], [means[b] for _, b in pairs], "less")
    result = replace(result, test="paired t over configurations", notes=(*result.notes, _OVERLAP))
    return UnmaskingTest(result, alpha)


def unmasking_over_seeds(scores: Mapping[str, Mapping[int, float]]) -> list[TestResult]:
    """The same question with seeds as the unit: a t-test and sign flips of each seed's mean over the pairs.

    `scores` maps mask → seed → score; seeds that some mask lacks are left out. The alternative is mean(A) < mean(B),
    as in the paper.

    Returns:
        The two results; none if fewer than two seeds have every mask.

    Raises:
        ValueError: a mask is missing.
    """
    pairs = _pairs(scores)
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    less = [float(np.mean([scores[a][seed] for a, _ in pairs])) for seed in seeds]
    more = [float(np.mean([scores[b][seed] for _, b in pairs])) for seed in seeds]
    return [test(less, more, "less") for test in (paired_t, sign_flip)] if len(seeds) > 1 else []


def _pairs(masks: Mapping[str, object]) -> list[tuple[str, str]]:
    """The pairs of a complete set of masks."""
    count = len(next(iter(masks), ""))
    complete = {"".join(digits) for digits in product("01", repeat=count)}
    if missing := sorted(complete - set(masks)):
        raise ValueError(f"masks missing: {', '.join(missing[:6])}")
    return unmasking_pairs(count)
