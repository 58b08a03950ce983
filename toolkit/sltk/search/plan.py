"""A search spec as a plan: the masks, the run of each, and how the best is looked for. Nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from .. import config
from ..config import InvalidSpecError, Loaded
from ..data import load_splits
from ..errors import Problem
from ..masking import is_digits, shared_start
from ..spec import Experiment
from ..specs.sources import Reading
from ..specs.spec_tree import child
from ..specs.yaml_source import Entry, Node
from ..sweeps.plan import Plan, PlannedRun, planned, read_any
from .requests import Space
from .spec import SearchPart, SearchSpec
from .strategies import NEEDS_PAUSES, NEEDS_SHARED

_MASK, _SEED = "backbone.unmask", "seed"


@dataclass(frozen=True)
class SearchPlan:
    """What is searched, and how."""

    sweep: Plan
    """All runs, of all seeds: what `sltk sweep` would run."""
    runs: Mapping[str, PlannedRun]
    """The run of each mask, with the seed of the search."""
    settings: SearchSpec
    loaded: Loaded[SearchPart]

    @property
    def experiment(self) -> Experiment:
        """The spec of the first run; the others differ in mask and name."""
        return next(iter(self.runs.values())).experiment

    @property
    def seeds(self) -> list[int]:
        """All seeds of the sweep; the search uses the first."""
        return list(dict.fromkeys(run.experiment.seed for run in self.sweep.runs))

    @property
    def epochs(self) -> int:
        """Evaluations of a run; 1 where it cannot be paused."""
        trainer = self.experiment.trainer
        return 1 if trainer.max_steps is not None else math.ceil(trainer.epochs)

    def space(self) -> Space:
        """The space to search; the data is read, to know what scoring costs.

        Raises:
            DataError: the data cannot be read.
            InvalidSpecError: the budget is too small for the strategy.
        """
        needs = self.settings.strategy in NEEDS_SHARED
        price = self.shared_price() if needs else 1.0
        space = Space(list(self.runs), self.epochs, self.settings.budget * len(self.runs), price)
        self._check_budget(space, 1 + price if needs else 1.0)
        return space

    def shared_price(self) -> float:
        """The shared run and the scoring of all masks with its weights, in full runs; reads the data.

        Raises:
            DataError: the data cannot be read.
        """
        return 1 + passes(list(self.runs)) * self._scoring_price()

    def _scoring_price(self) -> float:
        """Scoring validation, as a part of a full run. A forward and backward pass costs three forward passes."""
        experiment = self.experiment
        splits = load_splits(experiment.data, experiment.scheme, ["train", "validation"])
        trained, scored = (sum(len(s.words) for s in splits[name]) for name in ("train", "validation"))
        trainer = experiment.trainer
        epochs = float(trainer.epochs)
        if trainer.max_steps is not None:
            update = trainer.batch_size * trainer.gradient_accumulation
            epochs = trainer.max_steps * update / max(1, len(splits["train"]))
        return scored / max(1.0, 3 * trained * epochs + scored * (math.ceil(epochs) + 1))

    def _check_budget(self, space: Space, least: float) -> None:
        if space.budget >= least - 1e-9:
            return
        share = math.ceil(100 * least / len(self.runs)) / 100
        about = (
            f"{space.budget:.1f} full runs are too few: strategy `{self.settings.strategy}` "
            f"needs {least:.1f} at least"
        )
        note = f"a budget of {share:g} is enough" if share <= 1 else "there are too few masks: train them all"
        raise InvalidSpecError(self.loaded.problem("search.budget", about, notes=(note,)))


def passes(masks: Sequence[str]) -> float:
    """Passes over a text that scoring all masks takes; one that begins as another does starts where they part.

    Reckoned by digits. Masks that are said in another way than by as many digits count one each.
    """
    order = sorted(masks)
    if not all(is_digits(mask) and len(mask) == len(order[0]) for mask in order):
        return len(order)
    shared = sum(shared_start(*pair) for pair in pairwise(order))
    return len(order) - shared / len(order[0])


def plan(spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> SearchPlan:
    """The plan of a search spec: a file, or the same as a mapping.

    Raises:
        InvalidSpecError: the spec is wrong, or that of any run; `problems` holds everything that is.
    """
    reading = read_any(spec, overrides)
    if child(reading.tree, "search") is None:
        note = "it says `search: {strategy: gaussian, budget: 0.25}`, beside `sweep:`"
        raise InvalidSpecError(
            reading.tree.mark.problem("this is no spec of a search: it has no `search`", notes=(note,))
        )
    loaded = config.checked(reading, SearchPart)
    sweep = planned(_with_sweep(reading, loaded))
    found = SearchPlan(sweep, _runs(sweep, loaded), loaded.experiment.search, loaded)
    _check(found)
    return found


def _with_sweep(reading: Reading, loaded: Loaded[SearchPart]) -> Reading:
    """`search.masks` as the sweep that it stands for, where the spec has none."""
    tree: Node = reading.tree
    entry = child(child(tree, "search").node, "masks")  # type: ignore[union-attr]
    both = "sweep" in tree.value
    if both and entry is not None:
        raise InvalidSpecError(loaded.problem("search.masks", "`sweep` says already which masks there are"))
    if both:
        return reading
    if entry is None:
        about = "nothing says which masks there are: give `masks: {every: 4}`, or a `sweep`"
        raise InvalidSpecError(loaded.problem("search", about))
    mark = entry.key
    grid = Node(mark, {_MASK: Entry(mark, entry.node)})
    sweep = Node(mark, {"grid": Entry(mark, grid)})
    return replace(reading, tree=Node(tree.mark, {**tree.value, "sweep": Entry(mark, sweep)}))


def _runs(sweep: Plan, loaded: Loaded[SearchPart]) -> dict[str, PlannedRun]:
    """The run of each mask with the first seed.

    Raises:
        InvalidSpecError: something else varies than mask and seed, or masks are not digits, all equally many.
    """
    others = {key for run in sweep.runs for key in run.settings} - {_MASK, _SEED}
    if others:
        about = f"a search is over masks; `{sorted(others)[0]}` varies too"
        raise InvalidSpecError(loaded.problem("sweep", about, notes=("for the other keys: one search each",)))
    seed = sweep.runs[0].experiment.seed
    runs = {
        str(getattr(run.experiment.backbone, "unmask", "")): run
        for run in sweep.runs
        if run.experiment.seed == seed
    }
    if len({len(mask) for mask in runs}) > 1 or not all(map(is_digits, runs)) or len(runs) < 2:
        about = "a search needs two masks at least, all of as many digits, as `{every: 4}` gives them"
        raise InvalidSpecError(loaded.problem("sweep" if "sweep" in loaded.tree.value else "search", about))
    return runs


def _check(found: SearchPlan) -> None:
    """What would only be found out later.

    Raises:
        InvalidSpecError: there is nothing to choose by, or the strategy cannot be.
    """
    strategy, loaded = found.settings.strategy, found.loaded
    problems: list[Problem] = []
    if found.experiment.data.validation is None:
        problems.append(
            loaded.problem("data", "a search chooses by validation scores: give `data.validation`")
        )
    if strategy in NEEDS_PAUSES and found.epochs < 2:
        about = f"strategy `{strategy}` pauses runs between epochs, and there is one or none"
        note = "`trainer.epochs` of 2 or more, and no `max_steps`; or another strategy"
        problems.append(loaded.problem("search.strategy", about, notes=(note,)))
    if found.sweep.executor.type_name == "slurm":
        about = "executor `slurm` only writes a script; a search decides run by run: use `local` or `ray`"
        problems.append(loaded.problem("executor", about))
    if problems:
        raise InvalidSpecError(problems)
    found._check_budget(
        Space(list(found.runs), 1, found.settings.budget * len(found.runs)),
        2.0 if strategy in NEEDS_SHARED else 1.0,
    )
