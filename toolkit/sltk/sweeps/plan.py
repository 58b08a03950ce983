"""The plan of a sweep: which runs there are. Nothing is read but the spec, and nothing is written.

spec → settings of each run → each laid over the spec of a run → validated → PlannedRun
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import config
from ..config import InvalidSpecError, Loaded
from ..errors import Problem, SpecError, UsageError, nearest
from ..slots import Executor
from ..spec import Experiment
from ..specs.sources import Reading, read
from ..specs.spec_writer import dump_values, plain_values
from ..specs.yaml_source import Node, Source, core_scalar
from . import resolved
from .names import names, value_text
from .settings import Choice, choices, laid_over
from .spec import SweepPart

MOST_RUNS = 20_000
_OWN_KEYS = ("sweep", "executor", "search")


@dataclass(frozen=True)
class PlannedRun:
    """One run: its name, what it has that others have not, and its spec."""

    name: str
    settings: Mapping[str, str]
    """Varied keys and their values here, as they are written."""
    loaded: Loaded[Experiment]

    @property
    def experiment(self) -> Experiment:
        """The spec of the run."""
        return self.loaded.experiment

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """The spec with every default, as plain values; paths in it are absolute."""
        return plain_values(self.experiment)

    @cached_property
    def digest(self) -> str:
        """Tells specs apart."""
        text = json.dumps(self.resolved, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, in the order in which they are run."""

    name: str
    runs: tuple[PlannedRun, ...]
    executor: Executor
    imported: tuple[Path, ...] = field(default=())

    def dump(self) -> str:
        """`sweep.yaml`: a sweep spec, independent of every other file, whose plan is this one."""
        together = resolved.together({run.name: run.resolved for run in self.runs})
        executor = self.executor.model_dump(mode="json")
        return dump_values({**together.common, "sweep": {"runs": together.own}, "executor": executor})

    def only(self, conditions: Sequence[str]) -> Plan:
        """The runs that have all of these settings, each `key=value`; a key may be cut to its last part.

        Raises:
            UsageError: no run varies that key, or none has that value.
        """
        runs = list(self.runs)
        for condition in conditions:
            key, _, value = condition.partition("=")
            name = self._varied(key.strip(), condition)
            found = [run for run in runs if _is_value(name, run.settings.get(name), value.strip())]
            if not found:
                there = list(dict.fromkeys(run.settings[name] for run in runs if name in run.settings))
                note = f"values of {name}: {', '.join(there) or 'none that is left'}"
                about = f"--only {condition}: no run has that"
                raise UsageError(Problem(about, suggestion=nearest(value, there), notes=(note,)))
            runs = found
        return replace(self, runs=tuple(runs))

    def _varied(self, key: str, condition: str) -> str:
        """The varied key that is meant."""
        known = list(dict.fromkeys(name for run in self.runs for name in run.settings))
        found = [name for name in known if name == key] or [n for n in known if n.endswith(f".{key}")]
        if len(found) == 1 and "=" in condition:
            return found[0]
        note = f"varied keys: {', '.join(known)}"
        if "=" not in condition:
            raise UsageError(Problem(f"--only {condition}: expected `key=value`", notes=(note,)))
        about = f"--only {condition}: " + (
            f"`{key}` may be {' or '.join(found)}" if found else f"`{key}` does not vary"
        )
        raise UsageError(Problem(about, suggestion=nearest(key, known), notes=(note,)))

    def shard(self, part: int, of: int) -> Plan:
        """Every `of`-th run, from the `part`-th on, counted from 1."""
        return replace(self, runs=self.runs[part - 1 :: of])


def _is_value(key: str, text: str | None, wanted: str) -> bool:
    """Whether a setting is what was asked for: `2e-4` is 0.0002, but the mask 0111 is not 111."""
    if text is None or text == wanted:
        return text is not None
    values = core_scalar(text), core_scalar(wanted)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return numbers and values[0] == values[1] and key.rpartition(".")[2] != "unmask"


def plan(spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Plan:
    """The plan of a sweep spec: a file, or the same as a mapping.

    `overrides` are texts `a.b=v` as after `--set`; they are laid over the spec, and what varies over them.

    Raises:
        InvalidSpecError: the spec is wrong, or that of any run; `problems` holds everything that is.
    """
    return planned(read_any(spec, overrides))


def planned(reading: Reading) -> Plan:
    """The plan of a sweep spec that is read.

    Raises:
        InvalidSpecError: as `plan`.
    """
    _check_is_sweep(reading)
    part = config.checked(reading, SweepPart)
    base = Node(
        reading.tree.mark, {key: entry for key, entry in reading.tree.value.items() if key not in _OWN_KEYS}
    )
    chosen = list(choices(reading.tree.value["sweep"].node))
    if len(chosen) > MOST_RUNS:
        raise InvalidSpecError(part.problem("sweep", f"{len(chosen):,} runs; at most {MOST_RUNS:,}"))
    runs = _validated(base, chosen, reading.settings)
    _check_different(chosen, runs, part)
    name = str(reading.tree.value["name"].node.value) if "name" in reading.tree.value else "sweep"
    return Plan(name, tuple(runs), part.experiment.executor, part.imported)


def read_any(spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Reading:
    """A spec, not checked yet: of a file with what it extends, or of a mapping.

    Raises:
        InvalidSpecError: it cannot be read.
    """
    if not isinstance(spec, Mapping):
        try:
            return read(spec, overrides)
        except SpecError as error:
            raise InvalidSpecError(error.problems) from error
    if overrides:
        raise ValueError("`overrides` are for files; change the mapping instead")
    return Reading(*Source(dump_values(spec), "(spec)", Path.cwd()).parse())


def _check_is_sweep(reading: Reading) -> None:
    keys = reading.tree.value
    if isinstance(keys, dict) and "sweep" in keys:
        return
    near = nearest("sweep", [key for key in keys if key not in Experiment.model_fields])
    at = keys[near].key if near else reading.tree.mark
    notes = () if near else ("`sltk train` runs it; a sweep says `sweep: {grid: {seed: [120, 121]}}`",)
    message = "this is the spec of a run, not of a sweep: it has no `sweep`"
    raise InvalidSpecError(at.problem(message, suggestion="sweep" if near else None, notes=notes))


def _validated(base: Node, chosen: Sequence[Choice], settings: Sequence[str]) -> list[PlannedRun]:
    """Every run, checked; what is wrong with several is told once."""
    runs: list[PlannedRun] = []
    problems: dict[Any, Problem] = {}
    for name, choice in zip(names(chosen), chosen, strict=True):
        try:
            tree = laid_over(base, choice.settings)
            experiment = config.validate(Reading(tree, settings=tuple(settings)), Experiment)
            texts = {each.key: value_text(each) for each in choice.settings}
            runs.append(PlannedRun(name, texts, Loaded(experiment, tree)))
        except SpecError as error:
            problems |= {(each.message, each.location): each for each in error.problems}
    if problems:
        raise InvalidSpecError(list(problems.values()))
    return runs


def _check_different(chosen: Sequence[Choice], runs: Sequence[PlannedRun], part: Loaded[SweepPart]) -> None:
    """No two runs of one name, or of one spec.

    Raises:
        InvalidSpecError: there are.
    """
    problems = []
    for what, keys in (
        ("are one and the same run", [run.digest for run in runs]),
        ("would have one folder", [run.name.casefold() for run in runs]),
    ):
        first: dict[str, int] = {}
        for number, key in enumerate(keys):
            if first.setdefault(key, number) != number:
                both = f"`{runs[first[key]].name}` and `{runs[number].name}` {what}"
                problems.append(part.problem("sweep", f"two runs of the sweep: {both}"))
    if problems:
        raise InvalidSpecError(problems[:8])


@dataclass(frozen=True)
class Change:
    """How one plan differs from another."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    """Runs of one name whose specs differ, and in what."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> Iterator[str]:
        """The change in words; many runs that change alike are told once."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for name, differing in self.changed.items():
            alike.setdefault(differing, []).append(name)
        for differing, runs in alike.items():
            yield from (f"changed in {_some(runs)}: {each}" for each in differing[:6])
        if self.added:
            yield f"new: {_some(self.added)}"
        if self.removed:
            yield f"no longer there: {_some(self.removed)}"


def _some(runs: Sequence[str]) -> str:
    shown = ", ".join(runs[:4])
    return f"{len(runs)} runs ({shown}, …)" if len(runs) > 4 else shown


def change(before: Plan, now: Plan) -> Change:
    """What `now` has that `before` has not, and the other way round."""
    old, new = ({run.name: run for run in each.runs} for each in (before, now))
    return Change(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed={
            name: tuple(resolved.differences(old[name].resolved, run.resolved))
            for name, run in new.items()
            if name in old and old[name].digest != run.digest
        },
    )


def extended(before: Plan, now: Plan) -> Plan:
    """The runs of both; `now` must have changed none of them."""
    known = {run.name for run in before.runs}
    return replace(now, runs=(*before.runs, *(run for run in now.runs if run.name not in known)))
