"""The plan of a search spec: the masks, the run of each mask, and the settings of the search. Nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..data.splits import load_splits
from ..errors import InvalidSpecError, Problem
from ..masks import is_digits, shared_start
from ..spec import loading
from ..spec.experiment import Experiment
from ..spec.imports import ImportPolicy
from ..spec.loading import Loaded
from ..sweeps.plan import Plan, PlannedRun, plan_from
from ..yamltree.extends import Reading
from ..yamltree.lookup import child
from ..yamltree.source import Entry, Node
from .open_folds import check_one_fold
from .search_spec import SearchPart, SearchSpec
from .space import FIRST_RUNS, Space

_MASK, _SEED = "backbone.unmask", "seed"


@dataclass(frozen=True)
class SearchPlan:
    """The masks to search and the settings of the search."""

    sweep: Plan
    """All runs with all seeds, as `sltk sweep` would execute them."""
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

    def space(self) -> Space:
        """The space to search; reads the data to compute the cost of scoring.

        Raises:
            DataError: the data cannot be read.
            InvalidSpecError: the budget is too small for the strategy.
        """
        price = self.first_price()
        self.check_budget(price)
        return Space(list(self.runs), self.settings.budget * len(self.runs), price)

    def first_price(self) -> float:
        """The cost of the first run in full runs, with that of scoring all masks with shared weights.

        Reads the data in that case.

        Raises:
            DataError: the data cannot be read.
        """
        if self.settings.strategy != "shared":
            return 1.0
        return 1 + passes(list(self.runs)) * self._scoring_price()

    def _scoring_price(self) -> float:
        """The cost of scoring validation once, in full runs. A training pass costs three forward passes."""
        experiment = self.experiment
        splits = load_splits(experiment.data, experiment.scheme, ["train", "validation"])
        trained, scored = (sum(len(s.words) for s in splits[name]) for name in ("train", "validation"))
        trainer = experiment.trainer
        epochs = float(trainer.epochs)
        if trainer.max_steps is not None:
            update = trainer.batch_size * trainer.gradient_accumulation
            epochs = trainer.max_steps * update / max(1, len(splits["train"]))
        return scored / max(1.0, 3 * trained * epochs + scored * (math.ceil(epochs) + 1))

    def check_budget(self, first_price: float = 1.0) -> None:
        """Check that the budget covers the minimum that the strategy needs.

        Raises:
            InvalidSpecError: the budget is too small.
        """
        strategy, budget = self.settings.strategy, self.settings.budget * len(self.runs)
        least = 1 + first_price if strategy in FIRST_RUNS else 1.0
        if budget >= least - 1e-9:
            return
        share = math.ceil(100 * least / len(self.runs)) / 100
        message = f"{budget:.1f} full runs are too few: strategy `{strategy}` needs at least {least:.1f}"
        note = f"a budget of {share:g} is enough" if share <= 1 else "there are too few masks: train them all"
        raise InvalidSpecError(self.loaded.problem("search.budget", message, notes=(note,)))


def passes(masks: Sequence[str]) -> float:
    """The cost of scoring all masks on a text, in full forward passes.

    Masks are scored in sorted order, and each pass starts from the first block whose digit differs from the mask
    before it. Masks that are not digits, or of different lengths, cost one full pass each.
    """
    order = sorted(masks)
    if not all(is_digits(mask) and len(mask) == len(order[0]) for mask in order):
        return len(order)
    shared = sum(shared_start(*pair) for pair in pairwise(order))
    return len(order) - shared / len(order[0])


def plan(
    spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), policy: ImportPolicy | None = None
) -> SearchPlan:
    """The plan of a search spec: a file, or the same as a mapping; `policy` decides which `imports:` may run.

    Raises:
        InvalidSpecError: the spec is invalid, or that of a run; `problems` lists all errors.
    """
    reading = loading.read_spec(spec, overrides)
    if child(reading.tree, "search") is None:
        note = "add `search: {strategy: gaussian, budget: 0.25}` next to `sweep:`"
        raise InvalidSpecError(
            reading.tree.mark.problem("this is not a search spec: it has no `search`", notes=(note,))
        )
    check_one_fold(
        reading.tree, "then train the best mask on all folds: `sltk sweep` of the spec without `search:`"
    )
    loaded = loading.validate(reading, SearchPart, policy)
    sweep = plan_from(_with_sweep(reading, loaded), policy)
    plan = SearchPlan(sweep, _runs(sweep, loaded), loaded.spec.search, loaded)
    _check(plan)
    plan.check_budget()
    return plan


def _with_sweep(reading: Reading, loaded: Loaded[SearchPart]) -> Reading:
    """Replace `search.masks` by the equivalent `sweep`, if the spec has none."""
    tree: Node = reading.tree
    entry = child(child(tree, "search").node, "masks")  # type: ignore[union-attr]
    has_sweep = "sweep" in tree.value
    if has_sweep and entry is not None:
        raise InvalidSpecError(loaded.problem("search.masks", "`sweep` already gives the masks"))
    if has_sweep:
        return reading
    if entry is None:
        message = "the spec gives no masks: add `masks: {every: 4}`, or a `sweep`"
        raise InvalidSpecError(loaded.problem("search", message))
    mark = entry.key
    grid = Node(mark, {_MASK: Entry(mark, entry.node)})
    sweep = Node(mark, {"grid": Entry(mark, grid)})
    return replace(reading, tree=Node(tree.mark, {**tree.value, "sweep": Entry(mark, sweep)}))


def _runs(sweep: Plan, loaded: Loaded[SearchPart]) -> dict[str, PlannedRun]:
    """The run of each mask with the first seed.

    Raises:
        InvalidSpecError: keys other than mask and seed vary, or the masks are not digits of one length.
    """
    others = {key for run in sweep.runs for key in run.settings} - {_MASK, _SEED}
    if others:
        message = f"a search is over masks, but `{sorted(others)[0]}` varies too"
        raise InvalidSpecError(
            loaded.problem("sweep", message, notes=("use one search per value of the other keys",))
        )
    seed = sweep.runs[0].experiment.seed
    runs = {
        str(getattr(run.experiment.backbone, "unmask", "")): run
        for run in sweep.runs
        if run.experiment.seed == seed
    }
    if len({len(mask) for mask in runs}) > 1 or not all(map(is_digits, runs)) or len(runs) < 2:
        message = (
            "a search needs at least two masks, all with the same number of digits, such as `{every: 4}`"
        )
        raise InvalidSpecError(loaded.problem("sweep" if "sweep" in loaded.tree.value else "search", message))
    return runs


def _check(plan: SearchPlan) -> None:
    """Refuse specs that would fail only during the search.

    Raises:
        InvalidSpecError: the spec has no validation data to choose by, attends to padding, or its executor cannot run
            a search.
    """
    problems: list[Problem] = []
    if plan.experiment.data.validation is None:
        message = "a search chooses by validation scores: add `data.validation`"
        problems.append(plan.loaded.problem("data", message))
    if getattr(plan.experiment.backbone, "attend_to_padding", False):
        message = "`attend_to_padding` is a flaw to measure in a sweep, not to choose a mask by"
        problems.append(plan.loaded.problem("backbone.attend_to_padding", message))
    if plan.sweep.executor.type_name == "slurm":
        message = (
            "executor `slurm` only writes a script; a search decides after each run: use `local` or `ray`"
        )
        problems.append(plan.loaded.problem("executor", message))
    if problems:
        raise InvalidSpecError(problems)
