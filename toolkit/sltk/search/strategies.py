"""Search strategies. Each stays within the budget of its space and trains at least one mask.

random      masks drawn at random: the baseline
shared      one model for all masks, then full runs of the masks that score best with its weights
sigmoid     one model that learns how open each block is, then full runs of the masks that are most likely
gumbel      the same with a model whose blocks are open or not, drawn for each batch
gaussian    a mask and its opposite, then full runs by expected improvement under a Gaussian process
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from .gaussian_process import GaussianProcess
from .space import FIRST_RUNS, Batches, Space, Strategy

_FIRST_DRAWS = 2
"""Masks trained before the Gaussian process is used: one drawn at random, and its opposite."""


def at_random(space: Space, rng: Random) -> Batches:
    """Train masks in random order."""
    return _affordable(space, _shuffled(space, rng))


def ranked_by(first: str) -> Strategy:
    """Train a first run, then the masks that it ranks highest; ties in the order of the digits."""

    def strategy(space: Space, rng: Random) -> Batches:
        yield [first]
        yield from _affordable(space, sorted(space.ranking, key=lambda mask: (-space.ranking[mask], mask)))

    return strategy


def gaussian(space: Space, rng: Random) -> Batches:
    """Train a random mask and its complement, then choose each next mask by expected improvement."""
    drawn = _shuffled(space, rng)
    opposite = drawn[0].translate(str.maketrans("01", "10"))
    waiting = sorted(drawn, key=lambda mask: (mask != drawn[0], mask != opposite))
    model = GaussianProcess(space.masks)
    while waiting and space.affords(waiting[0]):
        scores = space.finished
        if len(scores) >= _FIRST_DRAWS:
            posterior, best = model.predict(scores), max(scores.values())
            waiting.sort(key=lambda mask: -posterior.improvement(mask, best))
        yield [waiting.pop(0)]


STRATEGIES: dict[str, Strategy] = {
    "random": at_random,
    "gaussian": gaussian,
    **{name: ranked_by(first) for name, first in FIRST_RUNS.items()},
}


def _shuffled(space: Space, rng: Random) -> list[str]:
    return rng.sample(list(space.masks), len(space.masks))


def _affordable(space: Space, masks: Sequence[str]) -> Batches:
    """One batch of as many masks as the budget covers."""
    count = max(0, math.floor(space.left + 1e-9))
    if batch := masks[:count]:
        yield batch
