"""The plan of a sweep: which runs it has. Only the spec is read, and nothing is written.

sweep spec → settings of each run → each applied to the base spec → validated → PlannedRun
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..components.slots import Executor
from ..errors import InvalidSpecError, Problem, SpecError, UsageError, nearest
from ..spec import loading
from ..spec.experiment import Experiment
from ..spec.import_copies import sweep_copies
from ..spec.imports import ImportPolicy
from ..spec.loading import Loaded
from ..spec.requirements import missing_packages
from ..spec.stored import differences
from ..spec.writing import dump_values, plain_values
from ..yamltree.extends import Reading
from ..yamltree.source import Node, core_scalar
from . import comparison_text
from .common_values import split_common
from .fold_axis import with_folds, with_sweep
from .run_names import run_names, value_text
from .sweep_spec import SweepPart
from .variations import Combination, apply_settings, combinations

MOST_RUNS = 20_000
_SWEEP_KEYS = ("sweep", "executor", "search")
"""Keys that are not part of the spec of a run."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    name: str
    settings: Mapping[str, str]
    """The varied keys, and their values as they are written."""
    loaded: Loaded[Experiment]

    @property
    def experiment(self) -> Experiment:
        """The spec of the run."""
        return self.loaded.spec

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """The spec with every default, as plain values, with absolute paths."""
        return plain_values(self.experiment)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The resolved spec with the names of imported files, whose folder differs in a stored plan."""
        return {**self.resolved, "imports": [Path(path).name for path in self.resolved["imports"]]}

    @cached_property
    def digest(self) -> str:
        """A hash of the resolved spec, except the folders of imported files."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, in the order in which they are started."""

    name: str
    runs: tuple[PlannedRun, ...]
    executor: Executor
    compare: tuple[str, ...] = ()
    """The comparisons that a report of the sweep tests."""
    part: Loaded[SweepPart] | None = field(default=None, repr=False, compare=False)
    """The spec that the plan comes from, for positions of later errors."""

    def missing_packages(self) -> list[Problem]:
        """A problem for each optional package that the executor needs and that is not installed."""
        problems = missing_packages(self.executor, "executor")
        return [self.part.located(each) for each in problems] if self.part is not None else problems

    def dump(self) -> str:
        """`sweep.yaml`: a sweep spec with the same plan that needs no other file than the copies in `imports/`."""
        names = {str(path): f"imports/{name}" for path, name in self.import_copies.items()}
        common, own = split_common({run.name: _renamed(run.resolved, names) for run in self.runs})
        executor = self.executor.model_dump(mode="json")
        compare = {"compare": list(self.compare)} if self.compare else {}
        return dump_values({**common, "sweep": {"runs": own, **compare}, "executor": executor})

    @property
    def import_copies(self) -> dict[Path, str]:
        """Each imported file, with the name of its copy in the `imports/` of the sweep."""
        return sweep_copies(path for run in self.runs for path in run.experiment.imports)

    @property
    def flawed(self) -> frozenset[str]:
        """The names of the runs that are never the best.

        Scores of runs that attend to padding depend on their batches, and those of folds are of different test data.
        """
        return frozenset(
            run.name
            for run in self.runs
            if getattr(run.experiment.backbone, "attend_to_padding", False)
            or run.experiment.data.folds is not None
        )

    def only(self, conditions: Sequence[str]) -> Plan:
        """The runs that match all conditions, each `key=value`; a key may be cut to its last part.

        Raises:
            UsageError: a key does not vary, or no run has the value.
        """
        runs = list(self.runs)
        for condition in conditions:
            key, _, value = condition.partition("=")
            name = self._varied_key(key.strip(), condition)
            matches = [run for run in runs if _matches(name, run.settings.get(name), value.strip())]
            if not matches:
                values = list(dict.fromkeys(run.settings[name] for run in runs if name in run.settings))
                note = f"values of {name}: {', '.join(values) or 'none in the remaining runs'}"
                message = f"--only {condition}: no run has this value"
                raise UsageError(Problem(message, suggestion=nearest(value, values), notes=(note,)))
            runs = matches
        return replace(self, runs=tuple(runs))

    def _varied_key(self, key: str, condition: str) -> str:
        """The full name of the varied key in a condition."""
        known = list(dict.fromkeys(name for run in self.runs for name in run.settings))
        note = f"varied keys: {', '.join(known)}"
        if "=" not in condition:
            raise UsageError(Problem(f"--only {condition}: expected `key=value`", notes=(note,)))
        matches = [name for name in known if name == key] or [n for n in known if n.endswith(f".{key}")]
        if len(matches) == 1:
            return matches[0]
        problem = f"`{key}` may be {' or '.join(matches)}" if matches else f"`{key}` does not vary"
        raise UsageError(
            Problem(f"--only {condition}: {problem}", suggestion=nearest(key, known), notes=(note,))
        )

    def shard(self, part: int, of: int) -> Plan:
        """Every `of`-th run, starting with the `part`-th, counted from 1."""
        return replace(self, runs=self.runs[part - 1 :: of])


def _renamed(spec: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {**spec, "imports": [names.get(path, path) for path in spec["imports"]]}


def _matches(key: str, text: str | None, expected: str) -> bool:
    """Whether a setting has the expected value: `2e-4` equals 0.0002, but the mask 0111 does not equal 111."""
    if text is None or text == expected:
        return text is not None
    values = core_scalar(text), core_scalar(expected)
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return are_numbers and values[0] == values[1] and key.rpartition(".")[2] != "unmask"


def plan(
    spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), policy: ImportPolicy | None = None
) -> Plan:
    """The plan of a sweep spec: a file, or the same as a mapping.

    `overrides` are texts `a.b=v` as in `--set`. They are applied to the spec before the varied values. `policy` decides
    which `imports:` may run.

    Raises:
        InvalidSpecError: the spec is invalid, or that of a run; `problems` lists all errors.
    """
    return plan_from(loading.read_spec(spec, overrides), policy)


def plan_from(reading: Reading, policy: ImportPolicy | None = None) -> Plan:
    """The plan of a sweep spec that has been read.

    Raises:
        InvalidSpecError: see `plan`.
    """
    reading = with_sweep(reading)
    _check_is_sweep(reading)
    part = loading.validate(reading, SweepPart, policy)
    keys = reading.tree.value
    base = Node(reading.tree.mark, {key: entry for key, entry in keys.items() if key not in _SWEEP_KEYS})
    settings = list(with_folds(base, combinations(keys["sweep"].node)))
    if len(settings) > MOST_RUNS:
        raise InvalidSpecError(part.problem("sweep", f"{len(settings):,} runs; at most {MOST_RUNS:,}"))
    runs = _validated_runs(base, settings, reading.settings)
    _check_distinct(runs, part)
    _check_comparisons(runs, part)
    name = str(keys["name"].node.value) if "name" in keys else "sweep"
    return Plan(name, tuple(runs), part.spec.executor, tuple(part.spec.sweep.compare), part)


def _check_is_sweep(reading: Reading) -> None:
    keys = reading.tree.value
    if isinstance(keys, dict) and "sweep" in keys:
        return
    near = nearest("sweep", [key for key in keys if key not in Experiment.model_fields])
    mark = keys[near].key if near else reading.tree.mark
    notes = (
        ()
        if near
        else ("`sltk train` runs it; a sweep has `sweep: {grid: {seed: [120, 121]}}`, or `data.folds`",)
    )
    message = "this is the spec of a run, not of a sweep: it has no `sweep`"
    raise InvalidSpecError(mark.problem(message, suggestion="sweep" if near else None, notes=notes))


def _validated_runs(
    base: Node, settings: Sequence[Combination], overrides: Sequence[str]
) -> list[PlannedRun]:
    """Every run, validated; an error that several runs share is reported once."""
    runs: list[PlannedRun] = []
    problems: dict[Any, Problem] = {}
    for name, each in zip(run_names(settings), settings, strict=True):
        try:
            tree = apply_settings(base, each.settings)
            loaded = loading.validate(Reading(tree, settings=tuple(overrides)), Experiment)
            texts = {setting.key: value_text(setting) for setting in each.settings}
            runs.append(PlannedRun(name, texts, loaded))
        except SpecError as error:
            problems |= {(problem.message, problem.location): problem for problem in error.problems}
    if problems:
        raise InvalidSpecError(list(problems.values()))
    return runs


def _check_distinct(runs: Sequence[PlannedRun], part: Loaded[SweepPart]) -> None:
    """Check that no two runs have the same name or the same spec.

    Raises:
        InvalidSpecError: two runs have the same name or the same spec.
    """
    problems = []
    for conflict, keys in (
        ("are the same run", [run.digest for run in runs]),
        ("would have the same folder", [run.name.casefold() for run in runs]),
    ):
        first: dict[str, int] = {}
        for number, key in enumerate(keys):
            if first.setdefault(key, number) != number:
                both = f"`{runs[first[key]].name}` and `{runs[number].name}` {conflict}"
                problems.append(part.problem("sweep", f"two runs of the sweep: {both}"))
    if problems:
        raise InvalidSpecError(problems[:8])


def _check_comparisons(runs: Sequence[PlannedRun], part: Loaded[SweepPart]) -> None:
    """Check that `sweep.compare` compares names of runs.

    Raises:
        InvalidSpecError: a comparison is malformed, names no run, or is another one in reverse.
    """
    names = list(dict.fromkeys(run.experiment.name for run in runs))
    problems = [
        part.located(replace(problem, path=f"sweep.compare.{number}"))
        for number, problem in comparison_text.problems(part.spec.sweep.compare, names)
    ]
    if problems:
        raise InvalidSpecError(problems)


@dataclass(frozen=True)
class Change:
    """The difference between two plans."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    """Runs in both plans whose specs differ, and how."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> Iterator[str]:
        """The change in words; runs that change in the same way share one line."""
        runs_by_change: dict[tuple[str, ...], list[str]] = {}
        for name, lines in self.changed.items():
            runs_by_change.setdefault(lines, []).append(name)
        for lines, runs in runs_by_change.items():
            yield from (f"changed in {_listed(runs)}: {line}" for line in lines[:6])
        if self.added:
            yield f"new: {_listed(self.added)}"
        if self.removed:
            yield f"removed: {_listed(self.removed)}"


def _listed(runs: Sequence[str]) -> str:
    names = ", ".join(runs[:4])
    return f"{len(runs)} runs ({names}, …)" if len(runs) > 4 else names


def change(before: Plan, now: Plan) -> Change:
    """The difference between two plans."""
    old, new = ({run.name: run for run in each.runs} for each in (before, now))
    return Change(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed={
            name: tuple(differences(old[name].identity, run.identity))
            for name, run in new.items()
            if name in old and old[name].digest != run.digest
        },
    )
