"""Runs put in order: a task for each data set, in it a configuration for each setting, in it a run for each seed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import Problem, UsageError, nearest
from ..masks import is_digits, same_form
from ..rundir.parent import Origin
from .comparability import by_data, flat
from .mask_order import gray_code, sort_key
from .run_reader import SPLITS
from .run_records import RunRecord

MASK = "backbone.unmask"
_NO_DIFFERENCE = ("imports", "trainer.save_every", "trainer.log_to", "trainer.eval_batch_tokens")
"""Keys that may differ between runs of one configuration: they change no score but by rounding."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and sample standard deviation (n - 1) of a score over n seeds; no deviation of one seed."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Of at least one value."""
        return cls(
            statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values)
        )

    def points(self) -> str:
        """In points, as in `51.23 ± 1.10`."""
        return points(self.mean) + ("" if self.sd is None else f" ± {points(self.sd)}")


def points(share: float | None, *, sign: bool = False) -> str:
    """A fraction in points, of which 100 are perfect."""
    return "" if share is None else f"{100 * share:{'+' if sign else ''}.2f}"


@dataclass
class Configuration:
    """Runs that differ in nothing but their seed."""

    series: str
    """What differs beside the mask, in words; empty where nothing does."""
    mask: str | None
    label: str
    runs: dict[int, RunRecord]

    @property
    def origin(self) -> Origin | None:
        """The pre-trained model that its runs start from."""
        return next(iter(self.runs.values())).origin

    def scores(self, split: str) -> dict[int, float]:
        """The score of each seed."""
        found = {seed: record.score(split) for seed, record in self.runs.items()}
        return {seed: score for seed, score in found.items() if score is not None}

    def summary(self, split: str) -> Summary | None:
        """Mean and deviation over seeds, if the runs are scored on the split."""
        scores = list(self.scores(split).values())
        return Summary.of(scores) if scores else None

    def mean(self, split: str) -> float:
        """The mean over seeds of a split that the runs are scored on."""
        return statistics.fmean(self.scores(split).values())

    def cost(self, key: str) -> float | None:
        """Mean over seeds of what training took: a key of `train` in metrics.json."""
        values = [record.train[key] for record in self.runs.values() if record.train.get(key) is not None]
        return statistics.fmean(values) if values else None


@dataclass
class StudyTask:
    """All configurations that were run on one data set, in order: by series, masks by their Gray code."""

    name: str
    measure: str
    configurations: list[Configuration]
    chosen_baseline: str | None = None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def splits(self) -> list[str]:
        """The splits that all runs are scored on, validation first."""
        records = list(self.records())
        return [split for split in SPLITS if all(record.score(split) is not None for record in records)]

    def records(self) -> Iterator[RunRecord]:
        """Every run."""
        for configuration in self.configurations:
            yield from configuration.runs.values()

    @property
    def measure_name(self) -> str:
        """The score's name in tables and figures."""
        return "F1" if self.measure == "f1" else "accuracy"

    def series(self) -> dict[str, list[Configuration]]:
        """Configurations by what differs beside the mask."""
        found: dict[str, list[Configuration]] = {}
        for configuration in self.configurations:
            found.setdefault(configuration.series, []).append(configuration)
        return found

    def has_masks(self) -> bool:
        """Whether masks differ, so that they stand on the x axis and all else is a series."""
        return len({configuration.mask for configuration in self.configurations}) > 1

    def best(self, split: str) -> Configuration:
        """The configuration with the best mean on a split; the first in order of those that are equal."""
        return max(self.configurations, key=lambda configuration: configuration.mean(split))

    def baseline(self, of: Configuration) -> Configuration:
        """What a configuration is compared with: the one chosen; else of its series that with every mask on."""
        for configuration in self.configurations:
            if configuration.label == self.chosen_baseline:
                return configuration
        peers = self.series()[of.series] if self.has_masks() else self.configurations
        for configuration in peers:
            if configuration.mask == "none" or set(configuration.mask or "x") == {"0"}:
                return configuration
        return peers[0]

    def complete_masks(self) -> dict[str, dict[str, Configuration]]:
        """Series in which each of the 2^m masks of some m ≥ 2 was run: mask → configuration."""
        found = {}
        for name, members in self.series().items():
            masks = {each.mask: each for each in members if each.mask is not None and is_digits(each.mask)}
            lengths = {len(mask) for mask in masks}
            if len(lengths) == 1 and (count := lengths.pop()) > 1 and len(masks) == 2**count:
                found[name] = {mask: masks[mask] for mask in gray_code(count)}
        return found


@dataclass
class Study:
    """All that a report is about."""

    tasks: list[StudyTask]
    notes: list[str] = field(default_factory=list)

    def records(self) -> Iterator[RunRecord]:
        """Every run of every task."""
        for task in self.tasks:
            yield from task.records()


def arrange(
    records: Sequence[RunRecord],
    *,
    separate: bool = False,
    baseline: str | None = None,
    notes: Sequence[str] = (),
) -> Study:
    """Put runs in order.

    Args:
        records: at least one.
        separate: runs of different data are tasks of their own; without, they are refused.
        baseline: the label of the configuration that others are compared with; unset: the mask 0000.
        notes: what was noticed before.

    Raises:
        UsageError: runs that do not compare; one configuration run twice with one seed, and different
            results; no such baseline; or no score to report on.
    """
    tasks = [_task(name, group) for name, group in by_data(records, separate=separate).items()]
    labels = [each.label for task in tasks for each in task.configurations]
    if baseline is not None and baseline not in labels:
        note = f"configurations: {', '.join(dict.fromkeys(labels))}"
        raise UsageError(
            Problem(f"no configuration `{baseline}`", suggestion=nearest(baseline, labels), notes=(note,))
        )
    for task in tasks:
        task.chosen_baseline = baseline
        if not task.splits:
            raise UsageError(
                f"the runs of {task.name} have no F1 and no accuracy on validation or test to report"
            )
    return Study(tasks, list(notes))


def _task(name: str, records: Sequence[RunRecord]) -> StudyTask:
    masks = same_form(record.mask for record in records)
    settings = [dict(setting_of(record, masks)) for record in records]
    varied = varied_keys(settings)
    groups: dict[tuple[str, str | None], dict[int, RunRecord]] = {}
    for record, setting in zip(records, settings, strict=True):
        series = ", ".join(f"{varied[key]} {value_text(setting.get(key))}" for key in varied if key != MASK)
        runs = groups.setdefault((series, masks.get(record.mask or "")), {})
        if record.seed in runs:
            raise UsageError(_twice(runs[record.seed], record))
        runs[record.seed] = record
    configurations = [
        Configuration(series, mask, _label(series, mask, MASK in varied, runs), dict(sorted(runs.items())))
        for (series, mask), runs in groups.items()
    ]
    configurations.sort(key=lambda each: (_natural(each.series), sort_key(each.mask or "")))
    return StudyTask(name, records[0].measure, configurations, notes=_notes(configurations))


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Sorts `batch_size 8` before `batch_size 16`."""
    parts = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?|\D+", text)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]


def setting_of(record: RunRecord, masks: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """What a configuration is: every setting but those that are no difference."""
    for key, value in flat(record.settings):
        if key == MASK:
            yield key, masks.get(record.mask or "")
        elif key not in _NO_DIFFERENCE:
            yield key, value


def varied_keys(settings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Keys whose values differ between runs, and a short name for each: its last part, if no other has it.

    Keys that only one type of model has do not tell it from another type: `type` does.
    """
    kinds: dict[Any, set[str]] = {}
    for setting in settings:
        kinds.setdefault(setting.get("type"), set()).update(setting)
    varied = []
    for key in dict.fromkeys(key for setting in settings for key in setting):
        having = [setting for setting in settings if key in kinds[setting.get("type")]]
        if len({repr(setting.get(key)) for setting in having}) > 1:
            varied.append(key)
    last = [key.rsplit(".", 1)[-1] for key in varied]
    return {key: name if last.count(name) == 1 else key for key, name in zip(varied, last, strict=True)}


def value_text(value: Any) -> str:
    """A value of a setting, in a label."""
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _label(series: str, mask: str | None, masks_vary: bool, runs: Mapping[int, RunRecord]) -> str:
    if masks_vary:
        return ", ".join(filter(None, (mask or "unset", series)))
    return series or mask or next(iter(runs.values())).name


def _twice(one: RunRecord, other: RunRecord) -> Problem:
    return Problem(
        f"two runs have the same settings and the same seed {one.seed}, and different results",
        notes=(f"{one.source or one.name}", f"{other.source or other.name}", "leave one of them out"),
    )


def _notes(configurations: Sequence[Configuration]) -> list[str]:
    """What makes numbers less than comparable, though they may stand in one table."""
    notes = []
    seeds = {tuple(each.runs) for each in configurations}
    if len(seeds) > 1:
        notes.append("not all configurations have the same seeds: paired tests use the seeds that both have")
    if any(len(each.runs) == 1 for each in configurations):
        notes.append("configurations with one seed have no deviation, and no test over seeds")
    records = [record for each in configurations for record in each.runs.values()]
    for key in ("sltk", "device", "products", "threads", "processes"):
        values = sorted({str(record.environment[key]) for record in records if key in record.environment})
        if len(values) > 1:
            notes.append(f"not all runs were made alike: {key} {', '.join(values)}")
    return notes
