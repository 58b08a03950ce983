"""The strategies. Each stays within the budget of its space, and trains at least one mask to the end.

random      full runs of masks drawn at random: what the others must beat
halving     many masks for a few epochs, the better ones for more (successive halving, Jamieson & Talwalkar 2016)
shared      one model for all masks, then full runs of those that score best with its weights
linear      a mask and its opposite, then full runs by expected improvement under linear regression on the digits
gaussian    the same under a Gaussian process
combined    the shared model's scores, corrected by a Gaussian process as partial runs come in, halved to full runs
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from .requests import FAILED, Batches, Request, Shared, Space, Strategy, Trial
from .surrogate import Surrogate

_FIRST_DRAWS = 2
"""Masks trained before a model over the digits says anything: one drawn at random, and its opposite."""


def at_random(space: Space, chance: Random) -> Batches:
    """Full runs in random order."""
    return _full_runs(space, _shuffled(space, chance))


def halving(space: Space, chance: Random) -> Batches:
    """Successive halving over as many masks, drawn at random, as the budget carries."""
    return _halved(space, _shuffled(space, chance), lambda scores: scores)


def shared(space: Space, chance: Random) -> Batches:
    """The shared run, then full runs of its best masks."""
    yield [Shared()]
    yield from _full_runs(space, _ranked(space.shared))


def by_surrogate(space: Space, chance: Random, *, interactions: bool) -> Batches:
    """Full runs by expected improvement, after one at random and its opposite, which differ in every digit."""
    drawn = _shuffled(space, chance)
    opposite = drawn[0].translate(str.maketrans("01", "10"))
    waiting = sorted(drawn, key=lambda mask: (mask != drawn[0], mask != opposite))
    model = Surrogate(space.masks, interactions=interactions)
    while waiting and space.affords(space.whole(waiting[0])):
        known = _sound(space.finished)
        if len(known) >= _FIRST_DRAWS:
            expected, best = model.expect(known), max(known.values())
            waiting.sort(key=lambda mask: -expected.improvement(mask, best))
        yield [space.whole(waiting.pop(0))]


def combined(space: Space, chance: Random) -> Batches:
    """The shared run; halving over its best masks; at each rung the model over digits and shared scores decides."""
    yield [Shared()]
    model = Surrogate(space.masks, space.shared)

    def smoothed(scores: Mapping[str, float]) -> Mapping[str, float]:
        known = _sound(scores)
        mean = model.expect(known).mean if known else {}
        return {mask: mean[mask] if mask in known else FAILED for mask in scores}

    yield from _halved(space, _ranked(space.shared), smoothed)


STRATEGIES: dict[str, Strategy] = {
    "random": at_random,
    "halving": halving,
    "shared": shared,
    "linear": functools.partial(by_surrogate, interactions=False),
    "gaussian": functools.partial(by_surrogate, interactions=True),
    "combined": combined,
}
NEEDS_PAUSES = {"halving"}
"""Strategies that are nothing without pausing runs."""
NEEDS_SHARED = {"shared", "combined"}
"""Strategies that begin with the shared run."""


def _shuffled(space: Space, chance: Random) -> list[str]:
    return chance.sample(list(space.masks), len(space.masks))


def _ranked(scores: Mapping[str, float]) -> list[str]:
    """Best first; masks of one score in the order of their digits."""
    return sorted(scores, key=lambda mask: (-scores[mask], mask))


def _sound(scores: Mapping[str, float]) -> dict[str, float]:
    return {mask: score for mask, score in scores.items() if score != FAILED}


def _full_runs(space: Space, masks: Sequence[str]) -> Batches:
    """As many full runs as can be afforded, all of which may run side by side."""
    count = max(0, math.floor(space.left + 1e-9))
    batch: list[Request] = [space.whole(mask) for mask in masks[:count]]
    if batch:
        yield batch


def rungs(epochs: int) -> list[int]:
    """Epochs after which the field is halved: 1, 2, 4, … and the last."""
    return [*(2**power for power in range(epochs.bit_length()) if 2**power < epochs), epochs]


def _sizes(first: int, count: int) -> list[int]:
    """How many masks come to each rung; two at least come to the last, if there are two."""
    return [max(min(2, first), math.ceil(first / 2**rung)) for rung in range(count)]


_Smoothing = Callable[[Mapping[str, float]], Mapping[str, float]]
"""Scores of a rung as they are taken for the choice of who goes on."""


def _halved(space: Space, candidates: Sequence[str], smoothed: _Smoothing) -> Batches:
    """Successive halving over the first of the candidates: as many as the budget carries to the end."""
    levels = rungs(space.epochs)
    sizes = next(
        (
            sizes
            for first in range(len(candidates), 0, -1)
            if _price(sizes := _sizes(first, len(levels)), levels, space) <= space.left + 1e-9
        ),
        [],
    )
    field = list(candidates[: sizes[0]]) if sizes else []
    for level, size in zip(levels, sizes, strict=bool(sizes)) if sizes else ():
        field = field[:size]
        yield [Trial(mask, level) for mask in field]
        field = _ranked(smoothed({mask: space.scores[Trial(mask, level)] for mask in field}))
    yield from _rest(space, candidates)


def _price(sizes: Sequence[int], levels: Sequence[int], space: Space) -> float:
    steps = (level - before for before, level in zip([0, *levels], levels, strict=False))
    return sum(size * step for size, step in zip(sizes, steps, strict=True)) / space.epochs


def _rest(space: Space, candidates: Sequence[str]) -> Iterator[Sequence[Request]]:
    """What the rungs left of the budget: those that had come furthest, and were best there, to the end."""
    last = {trial.mask: (trial.epochs, score) for trial, score in space.scores.items()}
    order = sorted(last, key=lambda mask: last[mask], reverse=True)
    for mask in [*order, *(mask for mask in candidates if mask not in last)]:
        whole = space.whole(mask)
        if whole not in space.scores and last.get(mask, (0, 0.0))[1] != FAILED and space.affords(whole):
            yield [whole]
