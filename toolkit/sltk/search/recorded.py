"""Searching in a table of finished runs instead of training: what a strategy would have found, hundreds of times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError, UsageError
from ..masking import is_digits, same_form
from ..reports.mask_order import sort_key
from ..reports.run_records import RunRecord
from .requests import Answer, Request, Search, Shared, Space, Strategy


class SharedRecord(BaseModel):
    """One shared run: what every mask scores on validation with its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shared: int = Field(default=1, description="number of this form")
    seed: int
    price: float = Field(gt=0, description="training and scoring, in full runs")
    seconds: float = Field(ge=0, description="of training and scoring")
    scores: dict[str, float]


def read_shared(path: Path) -> list[SharedRecord]:
    """A file of shared runs, an object a line.

    Raises:
        DataError: a line is none.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(SharedRecord.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DataError.at(f"not a shared run: {first}", path, number) from error
    return found


@dataclass(frozen=True)
class Table:
    """Validation scores of every mask with every seed, after each epoch."""

    masks: Sequence[str]
    seeds: Sequence[int]
    curves: Mapping[tuple[str, int], Sequence[float]]
    """By mask and seed; the last one is the score of the finished run."""
    shared: Sequence[SharedRecord] = field(default=())

    @property
    def epochs(self) -> int:
        """Evaluations of a run."""
        return len(next(iter(self.curves.values())))

    def final(self, mask: str, seed: int) -> float:
        """The score of a finished run."""
        return self.curves[mask, seed][-1]

    def truth(self, seeds: Iterable[int] | None = None) -> dict[str, float]:
        """The mean score of each mask over seeds."""
        chosen = list(seeds) if seeds is not None else list(self.seeds)
        return {mask: sum(self.final(mask, seed) for seed in chosen) / len(chosen) for mask in self.masks}

    @property
    def deviation(self) -> float:
        """Sample standard deviation over seeds, pooled over masks; 0 with one seed."""
        truth, count = self.truth(), len(self.seeds)
        if count < 2:
            return 0.0
        squares = sum(
            (self.final(mask, seed) - truth[mask]) ** 2 for mask in self.masks for seed in self.seeds
        )
        return float((squares / (len(self.masks) * (count - 1))) ** 0.5)


def table(records: Iterable[RunRecord], shared: Iterable[SharedRecord] = ()) -> Table:
    """Records of a sweep over masks and seeds as a table; seeds that lack a mask are left out.

    Raises:
        UsageError: masks are not digits, there is no seed with all of them, or runs have not equally many epochs.
    """
    known = list(records)
    form = same_form(record.mask for record in known)
    curves = {(form.get(str(record.mask), ""), record.seed): _curve(record) for record in known}
    masks = sorted({mask for mask, _ in curves}, key=sort_key)
    if not masks or not all(is_digits(mask) for mask in masks) or len({len(mask) for mask in masks}) > 1:
        raise UsageError("a search needs records of masks of digits, all equally many")
    seeds = [
        seed for seed in sorted({seed for _, seed in curves}) if all((mask, seed) in curves for mask in masks)
    ]
    whole = {key: curve for key, curve in curves.items() if key[1] in seeds}
    if not seeds or len({len(curve) for curve in whole.values()}) > 1:
        raise UsageError("a search needs records of every mask with one seed at least, all of as many epochs")
    fitting = [record for record in shared if set(record.scores) == set(masks)]
    return Table(masks, seeds, whole, fitting)


def _curve(record: RunRecord) -> tuple[float, ...]:
    """Validation scores by epoch; the last is that of the finished run, whichever epoch it kept."""
    final = record.score("validation")
    if final is None:
        raise UsageError(f"record `{record.name}` with seed {record.seed} has no validation score")
    return (*(score for *_, score in record.curve.validation[:-1]), final)


@dataclass(frozen=True)
class Replayed:
    """What a search in a table came to."""

    space: Space
    found: str
    regret: float
    """Best mean score over seeds minus that of the mask found; fractions."""
    regret_in_runs: float
    """The best score of all the runs that it might have met minus the score found: what a full sweep with the same
    seeds would have had more."""
    share: float
    """What was spent, as a part of the cost of all masks with one seed."""


def replay(
    known: Table, strategy: Strategy, budget: float, chance: Random, *, common_seed: bool = True
) -> Replayed:
    """Search once, with a budget that is a share of the cost of all masks.

    The order of masks is drawn, and the seed of the runs: one for all, as `sltk search` does it, or one for each
    mask. The shared run is drawn apart, since its seed has no part in theirs.

    Raises:
        UsageError: nothing was trained to the end: the budget is too small.
    """
    own = {mask: chance.choice(known.seeds) for mask in known.masks}
    seed = chance.choice(known.seeds)
    shared = chance.choice(known.shared) if known.shared else None
    price = shared.price if shared else 1.0
    space = Space(known.masks, known.epochs, budget * len(known.masks), price)

    seeds = {mask: seed if common_seed else own[mask] for mask in known.masks}

    def answer(request: Request) -> Answer:
        if isinstance(request, Shared):
            assert shared is not None
            return shared.scores
        return known.curves[request.mask, seeds[request.mask]][request.epochs - 1]

    Search(strategy, space, chance.randrange(2**32)).run(answer)
    if space.found is None or space.left < -1e-6:
        raise UsageError(f"a budget of {space.budget:.1f} full runs is too small for this strategy")
    truth = known.truth()
    regret = max(truth.values()) - truth[space.found]
    best = max(known.final(mask, seeds[mask]) for mask in known.masks)
    missed = best - space.finished[space.found]
    return Replayed(space, space.found, regret, missed, space.spent / len(known.masks))
