"""A study: one task per data set, one configuration per setting, one run per seed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from statistics import fmean, stdev
from typing import Any

from ..errors import Problem, UsageError, nearest
from ..masks import is_causal, is_digits, same_form
from ..rundir.pretrained_origin import Origin
from .comparability import by_data, flat
from .mask_order import gray_code, sort_key
from .run_reader import SPLITS
from .run_records import RunRecord

MASK = "backbone.unmask"
_IRRELEVANT = ("imports", "trainer.save_every", "trainer.log_to", "trainer.eval_batch_tokens")
"""Keys that may differ between the runs of one configuration: they change scores by rounding at most."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and sample standard deviation (n - 1) of a score over n seeds; the deviation of one seed is NaN."""

    mean: float
    sd: float = math.nan
    n: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise at least one value."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else math.nan, len(values))

    def points(self) -> str:
        """The score in points, such as `51.23 ± 1.10`."""
        return points(self.mean) + ("" if math.isnan(self.sd) else f" ± {points(self.sd)}")


def points(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction in points (percent) with two decimals."""
    return "" if fraction is None else f"{100 * fraction:{'+' if sign else ''}.2f}"


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@dataclass
class Configuration:
    """Runs that differ in their seed only."""

    series: str
    """The settings that vary within the task, except the mask, in words; empty if only the mask varies."""
    mask: str | None
    label: str
    runs: dict[int, RunRecord]

    @property
    def origin(self) -> Origin | None:
        """The pre-trained model that the runs start from."""
        return next(iter(self.runs.values())).origin

    def scores(self, split: str) -> dict[int, float]:
        """The score of each seed."""
        scores = {seed: record.score(split) for seed, record in self.runs.items()}
        return {seed: score for seed, score in scores.items() if score is not None}

    def summary(self, split: str) -> Summary:
        """Mean and deviation over seeds, for a split that the runs are scored on."""
        return Summary.of(list(self.scores(split).values()))

    def type_scores(self, split: str) -> dict[str, list[dict[str, Any]]]:
        """The scores of each type, one per seed."""
        by_type: dict[str, list[dict[str, Any]]] = {}
        for record in self.runs.values():
            for name, scores in record.scores[split].get("per_type", {}).items():
                by_type.setdefault(name, []).append(scores)
        return by_type

    def cost(self, key: str) -> float | None:
        """Mean over seeds of a cost of training: a key of `train` in metrics.json."""
        return mean_of_known(record.train.get(key) for record in self.runs.values())


@dataclass
class StudyTask:
    """All configurations that were run on one data set, ordered by series and by the Gray code of the mask."""

    name: str
    configurations: list[Configuration]
    chosen_baseline: str | None = None

    @cached_property
    def splits(self) -> list[str]:
        """The splits that all runs are scored on, validation first."""
        return [split for split in SPLITS if all(run.score(split) is not None for run in self.records())]

    def records(self) -> Iterator[RunRecord]:
        """Every run."""
        for configuration in self.configurations:
            yield from configuration.runs.values()

    @property
    def measure(self) -> str:
        """The key of the score that ranks runs: `f1` or `accuracy`."""
        return next(self.records()).measure

    @property
    def measure_name(self) -> str:
        """The name of the score in tables and figures."""
        return "F1" if self.measure == "f1" else "accuracy"

    def series(self) -> dict[str, list[Configuration]]:
        """Configurations grouped by the settings that vary besides the mask."""
        groups: dict[str, list[Configuration]] = {}
        for configuration in self.configurations:
            groups.setdefault(configuration.series, []).append(configuration)
        return groups

    def has_masks(self) -> bool:
        """Whether masks vary, so that they make the x axis and other settings make series."""
        return len({configuration.mask for configuration in self.configurations}) > 1

    def best(self, split: str) -> Configuration:
        """The configuration with the best mean on a split, the first one in case of a tie."""
        return max(self.configurations, key=lambda configuration: configuration.summary(split).mean)

    def baseline(self, of: Configuration) -> Configuration:
        """The configuration to compare with: the chosen one, else the causal one of the series, else the first."""
        chosen = (each for each in self.configurations if each.label == self.chosen_baseline)
        peers = self.series()[of.series] if self.has_masks() else self.configurations
        causal = (peer for peer in peers if peer.mask is not None and is_causal(peer.mask))
        return next(chain(chosen, causal, peers))

    def complete_masks(self) -> dict[str, dict[str, Configuration]]:
        """Series in which each of the 2^m masks of some m ≥ 2 was run: mask → configuration."""
        complete = {}
        for name, members in self.series().items():
            masks = {each.mask: each for each in members if each.mask is not None and is_digits(each.mask)}
            lengths = {len(mask) for mask in masks}
            if len(lengths) == 1 and (count := lengths.pop()) > 1 and len(masks) == 2**count:
                complete[name] = {mask: masks[mask] for mask in gray_code(count)}
        return complete

    def notes(self) -> list[str]:
        """Limits on the comparison of these runs, which may still appear in one table."""
        notes = []
        if len({tuple(each.runs) for each in self.configurations}) > 1:
            notes.append(
                "not all configurations have the same seeds; paired tests use the seeds that both have"
            )
        if any(len(each.runs) == 1 for each in self.configurations):
            notes.append("configurations with one seed have no standard deviation and no test over seeds")
        for key in ("sltk", "device", "products", "threads", "processes"):
            values = {str(run.environment[key]) for run in self.records() if key in run.environment}
            if len(values) > 1:
                notes.append(f"runs differ in {key}: {', '.join(sorted(values))}")
        return notes


def arrange(
    records: Sequence[RunRecord], *, separate: bool = False, baseline: str | None = None
) -> list[StudyTask]:
    """Arrange runs by task, configuration and seed.

    Args:
        records: at least one record.
        separate: whether runs on different data become separate tasks; otherwise they are refused.
        baseline: label of the configuration that others are compared with; by default the mask 0000.

    Raises:
        UsageError: runs cannot be compared; a configuration was run twice with one seed and different results;
            no configuration has the label `baseline`; or the runs have no score.
    """
    tasks = [_task(name, group, baseline) for name, group in by_data(records, separate=separate).items()]
    labels = [each.label for task in tasks for each in task.configurations]
    if baseline is not None and baseline not in labels:
        note = f"configurations: {', '.join(dict.fromkeys(labels))}"
        raise UsageError(
            Problem(f"no configuration `{baseline}`", suggestion=nearest(baseline, labels), notes=(note,))
        )
    for task in tasks:
        if not task.splits:
            raise UsageError(f"the runs of {task.name} have neither F1 nor accuracy on validation or test")
    return tasks


def _task(name: str, records: Sequence[RunRecord], baseline: str | None) -> StudyTask:
    masks = same_form(record.mask for record in records)
    settings = [dict(relevant_settings(record, masks)) for record in records]
    varied = varied_keys(settings)
    groups: dict[tuple[str, str | None], dict[int, RunRecord]] = {}
    for record, setting in zip(records, settings, strict=True):
        series = ", ".join(settings_text(setting, varied))
        runs = groups.setdefault((series, masks.get(record.mask or "")), {})
        if record.seed in runs:
            raise UsageError(_duplicate(runs[record.seed], record))
        runs[record.seed] = record
    configurations = [
        Configuration(series, mask, _label(series, mask, MASK in varied, runs), dict(sorted(runs.items())))
        for (series, mask), runs in groups.items()
    ]
    configurations.sort(key=lambda each: (_natural(each.series), sort_key(each.mask or "")))
    return StudyTask(name, configurations, baseline)


def relevant_settings(record: RunRecord, masks: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The dotted keys and values that define a configuration."""
    for key, value in flat(record.settings):
        if key == MASK:
            yield key, masks.get(record.mask or "")
        elif key not in _IRRELEVANT:
            yield key, value


def varied_keys(settings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Keys whose values differ between runs, each with a short name: its last part if that is unique.

    Keys that only one type of model has do not count as a difference from other types: `type` does.
    """
    keys_of_type: dict[Any, set[str]] = {}
    for setting in settings:
        keys_of_type.setdefault(setting.get("type"), set()).update(setting)
    varied = []
    for key in dict.fromkeys(key for setting in settings for key in setting):
        owners = [setting for setting in settings if key in keys_of_type[setting.get("type")]]
        if len({repr(setting.get(key)) for setting in owners}) > 1:
            varied.append(key)
    last = [key.rsplit(".", 1)[-1] for key in varied]
    return {key: name if last.count(name) == 1 else key for key, name in zip(varied, last, strict=True)}


def settings_text(setting: Mapping[str, Any], varied: Mapping[str, str]) -> list[str]:
    """Each varied setting except the mask in words, such as `batch_size 8`."""
    return [f"{name} {_value_text(setting.get(key))}" for key, name in varied.items() if key != MASK]


def _value_text(value: Any) -> str:
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key that puts `batch_size 8` before `batch_size 16`."""
    parts = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?|\D+", text)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]


def _label(series: str, mask: str | None, masks_vary: bool, runs: Mapping[int, RunRecord]) -> str:
    if masks_vary:
        return ", ".join(filter(None, (mask or "unset", series)))
    return series or mask or next(iter(runs.values())).name


def _duplicate(one: RunRecord, other: RunRecord) -> Problem:
    return Problem(
        f"two runs have the same settings and the same seed {one.seed}, but different results",
        notes=(one.source or one.name, other.source or other.name, "exclude one of them"),
    )
