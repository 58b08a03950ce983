"""The plan of a search over values of keys. Every value is validated against the spec before the first trial."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...components.slots import Executor
from ...errors import InvalidSpecError, Problem, SpecError
from ...spec import loading
from ...spec.experiment import Experiment
from ...spec.imports import ImportPolicy
from ...spec.loading import Loaded
from ...spec.options import alternatives, model_at
from ...spec.requirements import missing_packages
from ...spec.writing import dump_values
from ...sweeps.plan import PlannedRun
from ...sweeps.sweep_spec import ExecutorPart
from ...sweeps.variations import apply_settings
from ...yamltree.extends import Reading
from ...yamltree.lookup import child
from ...yamltree.source import Node
from ..open_folds import check_one_fold
from .space_values import Parameters, SpaceKey, Value
from .tuning_spec import TuningPart, TuningSpec

_OWN_KEYS = ("search", "executor")
_TUNING_KEYS = ("space", "trials", "pruning", "random_trials")
_MOST_CHECKED = 256
"""Combinations of values to validate; with more, each pair of values is validated instead."""
_FIXED = ("name", "imports", "metrics", "type", "data.validation", "data.test", "data.folds")
"""Keys that may not vary: with them, scores of trials would not mean the same."""
_ON_ALL_FOLDS = (
    "`sltk sweep best.yaml --set data.folds.fold=null --output DIR` then trains the best values on all folds"
)


def run_name(number: int) -> str:
    """The name of the run of a trial."""
    return f"trial-{number:04}"


@dataclass(frozen=True)
class TuningPlan:
    """What may be tried, and the settings of the search."""

    loaded: Loaded[TuningPart]
    base: Node
    """The spec of a run without the values of the space."""
    overrides: tuple[str, ...]
    executor: Executor
    part: Loaded[ExecutorPart]

    @property
    def settings(self) -> TuningSpec:
        """The keys of `search:`."""
        return self.loaded.spec.search

    @cached_property
    def space(self) -> dict[str, SpaceKey]:
        """The keys of the space."""
        section = child(self.loaded.tree, "search")
        assert section is not None
        entries = section.node.value["space"].node.value
        return {key: SpaceKey(key, each, entries[key]) for key, each in self.settings.space.items()}

    @property
    def name(self) -> str:
        """The name of the spec, which names the folder."""
        return self.first.experiment.name

    @property
    def size(self) -> float:
        """Number of different trials; infinite if a number varies."""
        return math.prod(key.size for key in self.space.values())

    @property
    def trials(self) -> int:
        """The number of trials: no more than there are combinations of values."""
        return int(min(self.settings.trials, self.size))

    @cached_property
    def first(self) -> PlannedRun:
        """A run with the first value of each key."""
        return self.trial(0, {key: each.test_values()[0] for key, each in self.space.items()})

    def variants(self) -> list[PlannedRun]:
        """Runs that have each value that is validated once; the first has the first value of each key.

        Raises:
            InvalidSpecError: never after `plan`.
        """
        values = {key: each.test_values() for key, each in self.space.items()}
        first = {key: each[0] for key, each in values.items()}
        others = [{**first, key: value} for key, own in values.items() for value in own[1:]]
        return [self.first, *(self.trial(0, each) for each in others)]

    def trial(self, number: int, parameters: Parameters) -> PlannedRun:
        """The run of a trial.

        Raises:
            InvalidSpecError: the values do not go together.
        """
        settings = [self.space[key].setting(value) for key, value in parameters.items()]
        tree = apply_settings(self.base, settings)
        loaded = loading.validate(Reading(tree, settings=self.overrides), Experiment)
        texts = {key: self.space[key].shown(value) for key, value in parameters.items()}
        return PlannedRun(run_name(number), texts, loaded)

    def missing_packages(self) -> list[Problem]:
        """A problem for each optional package that the search or its executor needs and that is not installed."""
        return [
            *map(self.loaded.located, missing_packages(self.settings, "search")),
            *map(self.part.located, missing_packages(self.executor, "executor")),
        ]

    def resolved(self) -> dict[str, Any]:
        """The whole spec of the search as plain values."""
        section = self.settings.model_dump(mode="json", exclude_unset=True)
        own = {"search": section, "executor": self.executor.model_dump(mode="json")}
        return {**self.first.resolved, **own}

    def dump(self) -> str:
        """`search.yaml`: the spec of the search."""
        return dump_values(self.resolved())


def has_space(spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> bool:
    """Whether a search spec searches over values of keys, and not over masks.

    Raises:
        InvalidSpecError: the spec cannot be read.
    """
    section = child(loading.read_spec(spec, overrides).tree, "search")
    if section is None or not isinstance(section.node.value, dict):
        return False
    strategy = child(section.node, "strategy")
    return any(key in section.node.value for key in _TUNING_KEYS) or (
        strategy is not None and strategy.node.value == "tpe"
    )


def plan(
    spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), policy: ImportPolicy | None = None
) -> TuningPlan:
    """The plan of a search spec with a `space`: a file, or the same as a mapping.

    Raises:
        InvalidSpecError: the spec is invalid, or a value of the space is; `problems` lists all errors.
    """
    reading = loading.read_spec(spec, overrides)
    loaded = loading.validate(reading, TuningPart, policy)
    part = loading.validate(reading, ExecutorPart)
    if "sweep" in reading.tree.value:
        message = (
            "a search over a `space` has no `sweep`: leave it out, or remove `space` to search its masks"
        )
        raise InvalidSpecError(loaded.problem("sweep", message))
    check_one_fold(reading.tree, _ON_ALL_FOLDS)
    keys = {key: entry for key, entry in reading.tree.value.items() if key not in _OWN_KEYS}
    base = Node(reading.tree.mark, keys)
    plan = TuningPlan(loaded, base, tuple(reading.settings), part.spec.executor, part)
    if problems := [*_forbidden(plan), *_kind_problems(plan)]:
        raise InvalidSpecError(problems)
    _check_values(plan)
    if problems := list(_run_problems(plan)):
        raise InvalidSpecError(problems)
    return plan


def _at_key(plan: TuningPlan, key: str, message: str, *notes: str) -> Problem:
    return plan.space[key].entry.key.problem(message, f"search.space.{key}", notes=notes)


def _forbidden(plan: TuningPlan) -> Iterator[Problem]:
    """Keys that may not vary, and keys that are in the space twice, as `head` and `head.type`."""
    for key in plan.space:
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in _FIXED):
            message = f"`{key}` cannot vary: the scores of trials would not mean the same"
            yield _at_key(plan, key, message)
        inner = next((other for other in plan.space if other.startswith(f"{key}.")), None)
        if inner is not None:
            note = f"give `{inner}` in the choices of `{key}`"
            yield _at_key(plan, inner, f"`{inner}` is also part of `{key}`, which varies", note)
        if plan.space[key].range.kind == "choice":
            yield from _repeated(plan, key)


def _repeated(plan: TuningPlan, key: str) -> Iterator[Problem]:
    seen: list[Any] = []
    for node in plan.space[key].choices.values():
        value = node.plain()
        if any(type(value) is type(other) and repr(value) == repr(other) for other in seen):
            yield node.mark.problem(f"the choice {value!r} is given twice", f"search.space.{key}")
        seen.append(value)


def _check_values(plan: TuningPlan) -> None:
    """Validate the spec with every value, and with values of several keys together.

    Raises:
        InvalidSpecError: a value is invalid; each error is reported once, at the value.
    """
    ends = {key: each.test_values() for key, each in plan.space.items()}
    inside = {key: [*ends[key], *each.inner_values()] for key, each in plan.space.items()}
    for values in (ends, inside):
        problems: dict[Any, Problem] = {}
        for parameters in _combinations(values):
            try:
                plan.trial(0, parameters)
            except SpecError as error:
                problems |= {(problem.message, problem.location): problem for problem in error.problems}
        if problems:
            raise InvalidSpecError(list(problems.values()))


def _combinations(values: Mapping[str, Sequence[Value]]) -> Iterator[dict[str, Value]]:
    """Values to validate together: all combinations, or if these are too many, all pairs."""
    first = {key: each[0] for key, each in values.items()}
    if math.prod(map(len, values.values())) <= _MOST_CHECKED:
        yield from (dict(zip(values, each, strict=True)) for each in itertools.product(*values.values()))
        return
    for key, own in values.items():
        yield from ({**first, key: value} for value in own)
    for one, other in itertools.combinations(values, 2):
        for pair in itertools.product(values[one][1:], values[other][1:]):
            yield {**first, one: pair[0], other: pair[1]}


def _kind_problems(plan: TuningPlan) -> Iterator[Problem]:
    """Ranges of numbers for keys that take no such numbers.

    A key of fractions whose default is a whole number, such as `trainer.epochs`, takes both.
    """
    tree = apply_settings(plan.base, [each.setting(each.test_values()[0]) for each in plan.space.values()])
    for key, each in plan.space.items():
        *path, last = key.split(".")
        owner = model_at(Experiment, tree, path)
        field = owner.model_fields.get(last) if owner is not None else None
        if field is None or each.range.bounds is None:
            continue
        types = alternatives(field.annotation)
        if not {int, float, Any} & set(types):
            yield _at_key(plan, key, f"`{key}` takes no numbers: use `choice`")
        elif each.range.kind != "int" and not {float, Any} & set(types):
            yield _at_key(plan, key, f"`{key}` takes whole numbers: use `int`")
        elif each.range.kind == "int" and not {int, Any} & set(types) and _is_fraction(field.default):
            message = (
                f"`{key}` takes fractions, but `int` gives whole numbers: use `uniform` or `log_uniform`"
            )
            yield _at_key(plan, key, message)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _run_problems(plan: TuningPlan) -> Iterator[Problem]:
    """What would make the search fail or its scores incomparable only later."""
    data = plan.first.experiment.data
    if data.validation is None:
        yield plan.loaded.problem("data", "a search chooses by validation scores: add `data.validation`")
    elif data.validation.type_name == "holdout":
        for key in plan.space:
            if key.startswith("data."):
                message = f"`{key}` cannot vary: `holdout` would take other sentences for validation"
                yield _at_key(plan, key, message, "give `data.validation` a separate file")
    for key in plan.space:
        if key == "backbone.attend_to_padding":
            yield _at_key(plan, key, "`attend_to_padding` is a flaw to measure in a sweep, not to choose")
    if plan.executor.type_name == "slurm":
        message = (
            "executor `slurm` only writes a script; a search decides after each run: use `local` or `ray`"
        )
        yield plan.loaded.problem("executor", message)
