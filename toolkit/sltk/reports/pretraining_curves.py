"""Scores against the checkpoints of pre-training: which runs make a curve, the figure and the table (paper, §6).

Runs that start from a checkpoint of `sltk pretrain` lie on a curve that its objective and their mask decide: Encoder
(`mlm`), Decoder Mask and Decoder Unmask (`clm`, with every block causal and with none), MNTP Mask and MNTP Unmask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..masks import is_causal
from ..rundir.pretrained_origin import Origin
from .arrangement import MASK, relevant_settings, settings_text, varied_keys
from .figures import checkpoint_curves, score_label
from .result_tables import ResultTable
from .study import Configuration, StudyTask

CheckpointCurve = dict[int, Configuration]
"""Number of the checkpoint → the configuration that starts from it."""

_START = ("backbone.name", "backbone.adapter", MASK)
_ORDER = {"Encoder": 0, "Decoder Mask": 1, "Decoder Unmask": 2}


def curves(task: StudyTask) -> dict[str, CheckpointCurve]:
    """The curves of a task by name; names also show settings that vary besides objective and mask."""
    groups: dict[tuple[str, str], list[tuple[int, Configuration]]] = {}
    for each in task.configurations:
        origin = each.origin
        if origin is not None and origin.snapshot is not None:
            groups.setdefault((_kind(origin, each.mask), origin.run), []).append((origin.snapshot, each))
    kinds = [kind for kind, _ in groups]
    named: dict[str, CheckpointCurve] = {}
    for (kind, run), members in sorted(groups.items(), key=lambda item: (_ORDER.get(item[0][0], 3), item[0])):
        name = kind if kinds.count(kind) == 1 else f"{kind}, {run}"
        settings = [_other_settings(each) for _, each in members]
        varied = varied_keys(settings)
        for (number, each), setting in zip(members, settings, strict=True):
            named.setdefault(", ".join([name, *settings_text(setting, varied)]), {})[number] = each
    return {name: dict(sorted(curve.items())) for name, curve in named.items()}


def _kind(origin: Origin, mask: str | None) -> str:
    causal = mask is not None and is_causal(mask)
    state = "Mask" if causal else "Unmask" if re.fullmatch("all|1+", mask or "") else str(mask)
    if origin.objective is None:
        return f"{origin.run}, {state}"
    if origin.objective == "clm":
        return f"Decoder {state}"
    if origin.objective == "mntp":
        return f"MNTP {state}"
    return "Encoder" if state == "Unmask" else f"Encoder {state}"


def _other_settings(configuration: Configuration) -> dict[str, Any]:
    """The settings of a configuration, except the model it starts from."""
    settings = relevant_settings(next(iter(configuration.runs.values())), {})
    return {key: value for key, value in settings if key not in _START}


def has_checkpoints(task: StudyTask) -> bool:
    """Whether some curve has more than one point."""
    return any(len(curve) > 1 for curve in curves(task).values())


def is_over_checkpoints(task: StudyTask) -> bool:
    """Whether every run lies on a curve, so that there is nothing else to show."""
    on_curves = sum(len(curve) for curve in curves(task).values())
    return has_checkpoints(task) and on_curves == len(task.configurations)


def figure(tasks: Sequence[StudyTask]) -> Any:
    """Score against checkpoint on the first split, with one panel per task (Figure 3)."""
    points = {
        task.name: {
            name: {number: each.summary(task.splits[0]) for number, each in curve.items()}
            for name, curve in curves(task).items()
        }
        for task in tasks
    }
    labels = {score_label(task, task.splits[0]) for task in tasks}
    return checkpoint_curves(points, labels.pop() if len(labels) == 1 else "score (points)")


def table(task: StudyTask) -> ResultTable:
    """The same in numbers: one row per checkpoint, one column per curve."""
    lines, split = curves(task), task.splits[0]
    numbers = sorted({number for curve in lines.values() for number in curve})
    columns = {
        "checkpoint": list(map(str, numbers)),
        "epochs": [_epoch(number, lines) for number in numbers],
        **{
            name: [curve[number].summary(split).points() if number in curve else "–" for number in numbers]
            for name, curve in lines.items()
        },
    }
    if not any(columns["epochs"]):
        del columns["epochs"]
    counts = sorted({len(each.runs) for curve in lines.values() for each in curve.values()})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) + " seed" + "s" * (counts[-1] > 1)
    note = f"{task.measure_name} on {split} in points, mean ± sample standard deviation over {seeds}."
    rows = list(zip(*columns.values(), strict=True))
    return ResultTable("Checkpoints", tuple(columns), rows, f"{note} {_same_at_start(lines, split)}".strip())


def _epoch(number: int, lines: Mapping[str, CheckpointCurve]) -> str:
    """Epochs of pre-training at a checkpoint; empty if unknown, or not the same on all curves."""
    origins = (curve[number].origin for curve in lines.values() if number in curve)
    epochs = {origin.epoch for origin in origins if origin is not None}
    epoch = epochs.pop() if len(epochs) == 1 else None
    return "" if epoch is None else f"{epoch:.4g}"


def _same_at_start(lines: Mapping[str, CheckpointCurve], split: str) -> str:
    """Whether Encoder and Decoder Unmask, one network before training, score the same at checkpoint 0."""
    starts = [
        lines[name][0].scores(split) for name in ("Encoder", "Decoder Unmask") if 0 in lines.get(name, {})
    ]
    shared = set.intersection(*map(set, starts)) if len(starts) == 2 else set()
    if not shared:
        return ""
    encoder, decoder = starts
    if all(encoder[seed] == decoder[seed] for seed in shared):
        return "At checkpoint 0 Encoder and Decoder Unmask score the same with each seed, as expected of one network."
    return (
        "At checkpoint 0 Encoder and Decoder Unmask do not score the same: "
        "pre-training did not start from one network."
    )
