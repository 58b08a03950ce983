"""Scores against the checkpoints of pre-training: which runs make a curve, the figure and the table (paper, §6).

Runs start from a model that `sltk pretrain` kept on the way. By its objective and their mask they lie on a curve:
Encoder (`mlm`), Decoder Mask and Decoder Unmask (`clm`, with every block causal and with none).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..rundir.parent import Origin
from .figures import Point, checkpoint_curves
from .result_tables import ResultTable
from .study import MASK, Configuration, StudyTask, setting_of, value_text, varied_keys

CheckpointCurve = dict[int, Configuration]
"""Number of the checkpoint → the configuration that starts from it."""

_WHERE_IT_STARTS = ("backbone.name", "backbone.adapter", MASK)
_ORDER = ("Encoder", "Decoder Mask", "Decoder Unmask")


def curves(task: StudyTask) -> dict[str, CheckpointCurve]:
    """The curves of a task by name; where more differs than objective and mask, names say what."""
    groups: dict[tuple[str, str], list[Configuration]] = {}
    for each in task.configurations:
        if each.origin is not None and each.origin.snapshot is not None:
            groups.setdefault((_kind(each.origin, each.mask), each.origin.run), []).append(each)
    kinds = [kind for kind, _ in groups]
    found: dict[str, CheckpointCurve] = {}
    for kind, run in sorted(groups, key=lambda key: (_rank(key[0]), key)):
        name = kind if kinds.count(kind) == 1 else f"{kind}, {run}"
        for more, each in _told_apart(groups[kind, run]):
            assert each.origin is not None
            assert each.origin.snapshot is not None
            found.setdefault(", ".join([name, *more]), {})[each.origin.snapshot] = each
    return {name: dict(sorted(curve.items())) for name, curve in found.items()}


def _kind(origin: Origin, mask: str | None) -> str:
    written = "Mask" if is_causal(mask) else "Unmask" if re.fullmatch("all|1+", mask or "") else str(mask)
    if origin.objective is None:
        return f"{origin.run}, {written}"
    if origin.objective == "clm":
        return f"Decoder {written}"
    return "Encoder" if written == "Unmask" else f"Encoder {written}"


def is_causal(mask: str | None) -> bool:
    """Whether a mask leaves every block causal, whatever the depth of the model."""
    return re.fullmatch("none|0+", mask or "") is not None


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _told_apart(group: Sequence[Configuration]) -> Iterator[tuple[list[str], Configuration]]:
    """Each configuration with what differs in the group beside where it starts."""
    settings = []
    for each in group:
        record = next(iter(each.runs.values()))
        setting = dict(setting_of(record, {record.mask or "": each.mask or ""}))
        settings.append({key: value for key, value in setting.items() if key not in _WHERE_IT_STARTS})
    varied = varied_keys(settings)
    for each, setting in zip(group, settings, strict=True):
        yield [f"{varied[key]} {value_text(setting.get(key))}" for key in varied], each


def has_checkpoints(task: StudyTask) -> bool:
    """Whether some curve has more than one point."""
    return any(len(curve) > 1 for curve in curves(task).values())


def is_over_checkpoints(task: StudyTask) -> bool:
    """Whether every run lies on a curve, so that curves are all there is to show."""
    on_curves = sum(len(curve) for curve in curves(task).values())
    return has_checkpoints(task) and on_curves == len(task.configurations)


def figure(tasks: Sequence[StudyTask]) -> Any:
    """Validation score against checkpoint, a panel a task (Figure 3); the first split that there is, without one."""
    points = {
        task.name: {name: _points(task, curve) for name, curve in curves(task).items()} for task in tasks
    }
    splits = {task.splits[0] for task in tasks}
    measures = {"micro F1" if task.measure == "f1" else "accuracy" for task in tasks}
    split = splits.pop() if len(splits) == 1 else ""
    measure = measures.pop() if len(measures) == 1 else "score"
    return checkpoint_curves(points, y_label=f"{split} {measure} (points)".strip())


def _points(task: StudyTask, curve: CheckpointCurve) -> list[Point]:
    found = ((number, each.summary(task.splits[0])) for number, each in curve.items())
    return [Point(number, summary.mean, summary.sd) for number, summary in found if summary is not None]


def table(task: StudyTask) -> ResultTable:
    """The same in numbers: a row a checkpoint, a column a curve."""
    found = curves(task)
    numbers = sorted({number for curve in found.values() for number in curve})
    epochs = {number: _epoch(number, found) for number in numbers}
    with_epochs = any(epochs.values())
    rows = []
    for number in numbers:
        cells = (_cell(task, curve.get(number)) for curve in found.values())
        rows.append((str(number), *([epochs[number]] if with_epochs else []), *cells))
    columns = ("checkpoint", *(["epochs"] if with_epochs else []), *found)
    counts = sorted({len(each.runs) for curve in found.values() for each in curve.values()})
    seeds = (
        f"{counts[0]} seed{'s' if counts[-1] > 1 else ''}"
        if len(counts) == 1
        else f"{counts[0]} to {counts[-1]} seeds"
    )
    note = (
        f"{task.measure_name} on {task.splits[0]} in points, mean ± sample standard deviation over {seeds}."
    )
    return ResultTable("Checkpoints", columns, rows, " ".join([note, *same_at_start(found, task.splits[0])]))


def _epoch(number: int, found: dict[str, CheckpointCurve]) -> str:
    """Epochs of pre-training at a checkpoint; empty where it is not known, or not the same on all curves."""
    known = {curve[number].origin.epoch for curve in found.values() if number in curve}  # type: ignore[union-attr]
    epoch = known.pop() if len(known) == 1 else None
    return "" if epoch is None else f"{epoch:.4g}"


def _cell(task: StudyTask, configuration: Configuration | None) -> str:
    summary = configuration.summary(task.splits[0]) if configuration else None
    return "–" if summary is None else summary.points()


def same_at_start(found: dict[str, CheckpointCurve], split: str) -> Iterator[str]:
    """Whether Encoder and Decoder Unmask, one network before training, score the same at checkpoint 0."""
    curves_at_0 = [found.get(name, {}).get(0) for name in ("Encoder", "Decoder Unmask")]
    if None in curves_at_0:
        return
    encoder, decoder = (each.scores(split) for each in curves_at_0 if each is not None)
    shared = encoder.keys() & decoder.keys()
    if shared and all(encoder[seed] == decoder[seed] for seed in shared):
        yield "At checkpoint 0 Encoder and Decoder Unmask score the same with each seed, as one network does."
    elif shared:
        yield (
            "At checkpoint 0 Encoder and Decoder Unmask do not score the same, "
            "as they would if pre-training had begun with one network."
        )
