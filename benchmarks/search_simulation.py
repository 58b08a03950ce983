"""Simulates searches on a table of finished runs instead of training, to measure what a strategy would find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean, variance

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sltk.errors import DataError, UsageError
from sltk.masks import is_digits, same_form
from sltk.reports.mask_order import sort_key
from sltk.reports.run_records import RunRecord
from sltk.search.space import FIRST_RUNS, Answer, Search, Space
from sltk.search.strategies import STRATEGIES


class SharedRecord(BaseModel):
    """One first run of a search: the validation score of every mask with the shared weights, or its log-likelihood
    under learned gates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shared: int = Field(default=1, description="format version")
    strategy: str = "shared"
    seed: int
    price: float = Field(gt=0, description="cost of training and scoring, in full runs")
    seconds: float = Field(ge=0, description="time of training and scoring")
    scores: dict[str, float]
    gates: list[float] | None = Field(
        default=None, description="how open each block is, if the mask was learned"
    )


def read_shared(path: Path) -> list[SharedRecord]:
    """Read a file of shared runs, one JSON object per line.

    Raises:
        DataError: a line is not a shared run.
    """
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(SharedRecord.model_validate_json(line))
        except ValidationError as error:
            raise DataError.at(f"not a shared run: {error.errors()[0]['msg']}", path, number) from error
    return records


@dataclass(frozen=True)
class ScoreTable:
    """Validation scores of every mask with every seed."""

    masks: Sequence[str]
    seeds: Sequence[int]
    scores: Mapping[tuple[str, int], float]
    """By mask and seed."""
    shared: Sequence[SharedRecord] = field(default=())

    def means(self) -> dict[str, float]:
        """The mean score of each mask over all seeds."""
        return {mask: fmean(self.scores[mask, seed] for seed in self.seeds) for mask in self.masks}

    @property
    def deviation(self) -> float:
        """Sample standard deviation over seeds, pooled over masks; 0 with one seed."""
        if len(self.seeds) < 2:
            return 0.0
        variances = (variance([self.scores[mask, seed] for seed in self.seeds]) for mask in self.masks)
        return float(fmean(variances) ** 0.5)


def table(records: Iterable[RunRecord], shared: Iterable[SharedRecord] = ()) -> ScoreTable:
    """The scores of a sweep over masks and seeds; seeds that lack a mask are left out.

    Raises:
        UsageError: masks are not digits of one length, no seed has all of them, or a record has no score.
    """
    known = list(records)
    form = same_form(record.mask for record in known)
    scores = {(form.get(str(record.mask), ""), record.seed): _score(record) for record in known}
    masks = sorted({mask for mask, _ in scores}, key=sort_key)
    if not masks or not all(is_digits(mask) for mask in masks) or len({len(mask) for mask in masks}) > 1:
        raise UsageError("a search needs records whose masks are digits, all of the same length")
    seeds = [
        seed for seed in sorted({seed for _, seed in scores}) if all((mask, seed) in scores for mask in masks)
    ]
    if not seeds:
        raise UsageError("a search needs records of every mask for at least one seed")
    return ScoreTable(masks, seeds, scores, [each for each in shared if set(each.scores) == set(masks)])


def _score(record: RunRecord) -> float:
    score = record.score("validation")
    if score is None:
        raise UsageError(f"record `{record.name}` with seed {record.seed} has no validation score")
    return score


@dataclass(frozen=True)
class Replay:
    """The result of a simulated search."""

    space: Space
    best: str
    regret: float
    """Highest mean score over seeds minus the mean score of the best mask found; a fraction."""
    regret_in_runs: float
    """Highest score of all the runs that the search could have trained minus the best score found: what a full
    sweep with the same seeds would have gained."""
    share: float
    """The cost, as a share of training all masks with one seed."""


def replay(scores: ScoreTable, name: str, budget: float, rng: Random, *, common_seed: bool = True) -> Replay:
    """Simulate one search by the strategy `name`, with a budget given as a share of the cost of all masks.

    Draws the order of the masks, the seed of the runs (one for all, as in `sltk search`, or one for each mask), and
    the shared run, whose seed is independent of those of the runs.

    Raises:
        UsageError: no mask was trained: the budget is too small.
    """
    own = {mask: rng.choice(scores.seeds) for mask in scores.masks}
    seed = rng.choice(scores.seeds)
    # Drawn for every strategy, so that all have the same seeds.
    kind = name if name in FIRST_RUNS else "shared"
    first_runs = [each for each in scores.shared if each.strategy == kind]
    shared = rng.choice(first_runs) if first_runs else None
    space = Space(scores.masks, budget * len(scores.masks), shared.price if shared else 1.0)
    drawn = {mask: scores.scores[mask, seed if common_seed else own[mask]] for mask in scores.masks}

    def answer(request: str) -> Answer:
        if request not in FIRST_RUNS.values():
            return drawn[request]
        assert shared is not None
        return shared.scores

    Search(STRATEGIES[name], space, rng.randrange(2**32)).run(answer)
    if space.best is None or space.left < -1e-6:
        raise UsageError(f"a budget of {space.budget:.1f} full runs is too small for this strategy")
    means = scores.means()
    regret = max(means.values()) - means[space.best]
    missed = max(drawn.values()) - space.scores[space.best]
    return Replay(space, space.best, regret, missed, space.spent / len(scores.masks))
