"""Arrange runs as a study: by task, configuration and seed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..components.aligners.subword import SubwordAligner
from ..components.backbones.pretrained import PretrainedBackbone
from ..components.heads.classifying import ClassifyingHead
from ..errors import Problem, UsageError, nearest
from ..masks import same_form
from ..spec.trainer_settings import TrainerSpec
from ..sweeps import comparison_text
from .comparability import by_data, flat
from .mask_order import sort_key
from .run_records import RunRecord
from .study import Configuration, StudyTask

MASK = "backbone.unmask"
LIMIT = "data.train.limit"
"""The largest number of training sentences: `data.train.limit` or `data.folds.train_limit`."""
_IRRELEVANT = ("imports", "trainer.save_every", "trainer.log_to", "trainer.eval_batch_tokens")
"""Keys that may differ between the runs of one configuration: they change scores by rounding at most."""
_DEFAULTS = {
    f"{slot}.{key}": value
    for slot, part in (
        ("backbone", PretrainedBackbone),
        ("aligner", SubwordAligner),
        ("head", ClassifyingHead),
        ("trainer", TrainerSpec),
    )
    for key, value in part.unwritten_defaults.items()
}
"""Values of keys that a run directory leaves out if they have their default."""


def arrange(
    records: Sequence[RunRecord],
    *,
    separate: bool = False,
    baseline: str | None = None,
    compare: Sequence[str] = (),
) -> list[StudyTask]:
    """Arrange runs by task, configuration and seed.

    Args:
        records: at least one record.
        separate: whether runs on different data become separate tasks; otherwise they are refused.
        baseline: label of the configuration that others are compared with; by default the mask 0000.
        compare: comparisons of labels to test, `A:B` or `A:B::C:D`; by default those that the sweeps declare.

    Raises:
        UsageError: runs cannot be compared; a configuration was run twice with one seed and different results;
            no configuration has the label `baseline`, or one in `compare`; two in `compare` are the same; or the
            runs have no score.
    """
    tasks = [
        _task(name, group, baseline, compare) for name, group in by_data(records, separate=separate).items()
    ]
    labels = [each.label for task in tasks for each in task.configurations]
    if baseline is not None and baseline not in labels:
        note = f"configurations: {', '.join(dict.fromkeys(labels))}"
        raise UsageError(
            Problem(f"no configuration `{baseline}`", suggestion=nearest(baseline, labels), notes=(note,))
        )
    if problems := [problem for _, problem in comparison_text.problems(compare, list(dict.fromkeys(labels)))]:
        raise UsageError(problems)
    for task in tasks:
        task.compare = comparison_text.distinct(task.compare, labels)
        if not task.splits:
            raise UsageError(f"the runs of {task.name} have neither F1 nor accuracy on validation or test")
    return tasks


def _task(
    name: str, records: Sequence[RunRecord], baseline: str | None, compare: Sequence[str] = ()
) -> StudyTask:
    masks = same_form(record.mask for record in records)
    settings = _with_defaults([dict(relevant_settings(record, masks)) for record in records])
    if any(record.arm is not None for record in records):
        declared = tuple(text for each in records if each.arm is not None for text in each.arm.compare)
        configurations = arms(records, settings, masks)
        return StudyTask(name, configurations, baseline, has_arms=True, compare=tuple(compare) or declared)
    if all(record.trial is not None for record in records):
        return StudyTask(name, trials(records, settings, masks), baseline, compare=tuple(compare))
    varied = varied_keys(settings)
    groups: dict[tuple[str, str | None], dict[int, RunRecord]] = {}
    curves: dict[str, str] = {}
    for record, setting in zip(records, settings, strict=True):
        series = ", ".join(settings_text(setting, varied))
        curves[series] = ", ".join(settings_text(setting, _without_limit(varied)))
        runs = groups.setdefault((series, masks.get(record.mask or "")), {})
        if record.seed in runs:
            raise UsageError(_duplicate(runs[record.seed], record))
        runs[record.seed] = record
    configurations = [
        Configuration(
            series,
            mask,
            _label(series, mask, MASK in varied, runs),
            dict(sorted(runs.items())),
            _label(curves[series], mask, MASK in varied, runs),
        )
        for (series, mask), runs in groups.items()
    ]
    configurations.sort(key=lambda each: (_natural(each.series), sort_key(each.mask or "")))
    return StudyTask(name, configurations, baseline, compare=tuple(compare))


def arms(
    records: Sequence[RunRecord], settings: Sequence[Mapping[str, Any]], masks: Mapping[str, str]
) -> list[Configuration]:
    """The named arms of a study, in the order of the sweep.

    Settings that vary within an arm, such as the mask, follow its name; those that make the arm do not.
    """
    members: dict[str, list[Mapping[str, Any]]] = {}
    for record, setting in zip(records, settings, strict=True):
        members.setdefault(record.name, []).append(setting)
    varied = {name: varied_keys(own) for name, own in members.items()}
    groups: dict[str, dict[int, RunRecord]] = {}
    curves: dict[str, str] = {}
    for record, setting in zip(records, settings, strict=True):
        own = varied[record.name]
        start = [record.name, *([str(setting.get(MASK) or "unset")] if MASK in own else [])]
        label = ", ".join([*start, *settings_text(setting, own)])
        curves[label] = ", ".join([*start, *settings_text(setting, _without_limit(own))])
        runs = groups.setdefault(label, {})
        if record.seed in runs:
            raise UsageError(_duplicate(runs[record.seed], record))
        runs[record.seed] = record
    configurations = []
    for label, runs in groups.items():
        mask = masks.get(next(iter(runs.values())).mask or "")
        configurations.append(Configuration(label, mask, label, dict(sorted(runs.items())), curves[label]))
    return sorted(configurations, key=lambda each: (_place(each), _natural(each.label)))


def trials(
    records: Sequence[RunRecord], settings: Sequence[Mapping[str, Any]], masks: Mapping[str, str]
) -> list[Configuration]:
    """The trials of searches by name, in their order; their values are in the table of the search.

    Of trials with the same values and scores, the first one stands for all.
    """
    names = {record.trial or "": (record.trial or "").rpartition("/")[2] for record in records}
    is_one_search = len(set(names.values())) == len(names)
    distinct: list[tuple[RunRecord, Mapping[str, Any]]] = []
    for record, setting in sorted(
        zip(records, settings, strict=True), key=lambda each: _natural(each[0].trial or "")
    ):
        if not any(
            (setting, record.seed, record.scores) == (other, first.seed, first.scores)
            for first, other in distinct
        ):
            distinct.append((record, setting))
    labels = [names[record.trial or ""] if is_one_search else record.trial or "" for record, _ in distinct]
    return [
        Configuration(label, masks.get(record.mask or ""), label, {record.seed: record}, label)
        for label, (record, _) in zip(labels, distinct, strict=True)
    ]


def _place(configuration: Configuration) -> float:
    """The position of an arm in its sweep; runs outside a sweep come last."""
    places = [record.arm.place for record in configuration.runs.values() if record.arm is not None]
    return min(places, default=math.inf)


def _with_defaults(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The settings, with the default of each key that only some runs have written."""
    known = {key: value for key, value in _DEFAULTS.items() if any(key in setting for setting in settings)}
    return [{**known, **setting} for setting in settings]


def relevant_settings(record: RunRecord, masks: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The dotted keys and values that define a configuration."""
    yield LIMIT, record.train_limit
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


def _without_limit(varied: Mapping[str, str]) -> dict[str, str]:
    return {key: name for key, name in varied.items() if key != LIMIT}


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
