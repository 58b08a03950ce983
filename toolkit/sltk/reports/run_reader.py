"""A run directory as a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..rundir.parent import Origin, origin_of
from ..spec.stored import read_mapping
from .predictions import SpanCounter, gold_digest, read_predictions, tag_confusion
from .run_records import LearningCurve, RunRecord

SPLITS = ("validation", "test")
_APART = ("name", "seed", "data")
"""Keys of a spec that have a place of their own in a record."""
_MOST_POINTS = 200
_ENVIRONMENT = ("sltk", "python", "packages", "device", "products", "threads", "processes", "git_revision")


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory, finished or not."""
    return (folder / "spec.yaml").is_file()


def is_finished(folder: Path) -> bool:
    """Whether a run has its metrics, which are written last."""
    return (folder / "metrics.json").is_file()


def is_pretraining(folder: Path) -> bool:
    """Whether a finished run is one of `sltk pretrain`, which labels nothing.

    Raises:
        DataError: its metrics are damaged.
    """
    return "corpus" in read_mapping(folder / "metrics.json")


def read_run(folder: Path) -> RunRecord:
    """The record of a finished run.

    Raises:
        DataError: a file of it is damaged, or its predictions are not those that were scored.
    """
    spec = read_mapping(folder / "spec.yaml")
    metrics = read_mapping(folder / "metrics.json")
    environment = read_mapping(folder / "environment.json") if (folder / "environment.json").exists() else {}
    for key in ("name", "seed", "data", "backbone"):
        if key not in spec:
            raise DataError.at(f"not the spec of a run: no `{key}`", folder / "spec.yaml")
    scores = {split: metrics[split] for split in SPLITS if isinstance(metrics.get(split), dict)}
    settings = {key: _portable(value) for key, value in spec.items() if key not in _APART}
    data: dict[str, Any] = {
        split: {"reader": _portable(reader)} for split, reader in spec["data"].items() if reader
    }
    details = _details(folder, settings, scores, data)
    mask = settings["backbone"].get("unmask")
    return RunRecord(
        name=str(spec["name"]), seed=int(spec["seed"]), settings=settings, data=data, scores=scores,
        mask=None if mask is None else mask if isinstance(mask, str) else json.dumps(mask),
        train=metrics.get("train", {}), curve=_curve(folder / "log.jsonl"), **details,
        origin=_origin(folder, spec["backbone"], environment),
        environment={key: environment[key] for key in _ENVIRONMENT if key in environment}, source=str(folder),
    )  # fmt: skip


def _details(
    folder: Path, settings: dict[str, Any], scores: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """Counts and confusion of each split that has predictions; its size and digest are added to `data`."""
    counting = SpanCounter.of(settings)
    found: dict[str, Any] = {"counts": {}, "confusion": {}}
    for split, values in scores.items():
        identity = data.setdefault(split, {})
        identity |= {key: values[key] for key in ("sentences", "words") if key in values}
        path = folder / "predictions" / f"{split}.conll"
        if not path.exists():
            continue
        labelled = read_predictions(path)
        identity["gold"] = gold_digest(labelled, settings.get("scheme", "IOB2"))
        if counting is None:
            found["confusion"][split] = tag_confusion(labelled)
            continue
        counts, found["confusion"][split] = counting.counted(labelled)
        found["counts"][split] = counts
        for key, numbers in (
            ("support", counts.gold),
            ("predicted", counts.predicted),
            ("correct", counts.correct),
        ):
            if key in values and values[key] != sum(numbers):
                raise DataError.at(
                    f"these are not the predictions that were scored: {sum(numbers)} spans are {key}, "
                    f"and metrics.json says {values[key]}", path,
                )  # fmt: skip
    return found


def _origin(folder: Path, backbone: dict[str, Any], environment: dict[str, Any]) -> Origin | None:
    """What the run wrote down when it began; of older runs, what can be seen now."""
    if "origin" not in environment:
        return origin_of(backbone.get("adapter"), backbone.get("name"))
    try:
        return Origin.model_validate(environment["origin"])
    except ValueError as error:
        raise DataError.at(
            f"`origin` is no pre-trained model: {error}", folder / "environment.json"
        ) from error


def _portable(value: Any) -> Any:
    """The value with only the last part of each absolute path: folders are of one machine.

    Of a model that pre-training kept on the way, `RUN/steps/0003`: other runs have a 0003, too.
    """
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    path = Path(value)
    return "/".join(path.parts[-3:]) if path.parent.name == "steps" else path.name


def _curve(path: Path) -> LearningCurve:
    """Loss and validation score by update; a line cut short by a kill is passed over."""
    loss, validation = [], []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        place = (values.get("step", 0), values.get("epoch", 0.0))
        if "loss" in values:
            loss.append((*place, values["loss"]))
        score = values.get("eval_f1", values.get("eval_accuracy"))
        if score is not None:
            validation.append((*place, score))
    return LearningCurve(loss=_thinned(loss), validation=validation)


def _thinned(points: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """At most 200 points, evenly spread; of each stretch the mean, at its last update."""
    width = -(-len(points) // _MOST_POINTS)
    if width <= 1:
        return points
    stretches = [points[start : start + width] for start in range(0, len(points), width)]
    return [(*part[-1][:2], sum(value for *_, value in part) / len(part)) for part in stretches]
