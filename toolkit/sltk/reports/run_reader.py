"""Read a run directory as a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import DataError
from ..rundir.log import read_log
from ..rundir.pretrained_origin import Origin, origin_of
from ..rundir.scored_predictions import read_predictions, span_metric
from ..schemes import SchemeError
from ..spec.stored import read_mapping
from .predictions import count_spans, gold_digest, tag_confusion
from .run_records import LearningCurve, RunRecord
from .stored_slices import read_slices

SPLITS = ("validation", "test")
_DATA = ("train", *SPLITS)
_SEPARATE = ("name", "seed", "data")
"""Keys of a spec that have separate fields in a record."""
_MOST_POINTS = 200
_ENVIRONMENT = (
    "sltk", "python", "packages", "device", "precision", "products", "threads", "processes", "git_revision",
)  # fmt: skip


def read_run(folder: Path) -> RunRecord:
    """Read the record of a finished run.

    Raises:
        DataError: a file is damaged, or the predictions are not those that were scored.
    """
    spec = read_mapping(folder / "spec.yaml")
    metrics = read_mapping(folder / "metrics.json")
    environment = read_mapping(folder / "environment.json") if (folder / "environment.json").exists() else {}
    for key in (*_SEPARATE, "backbone"):
        if key not in spec:
            raise DataError.at(f"not the spec of a run: no `{key}`", folder / "spec.yaml")
    settings = {key: _portable(value) for key, value in spec.items() if key not in _SEPARATE}
    data = {key: {"reader": _portable(spec["data"][key])} for key in _DATA if spec["data"].get(key)}
    folds = spec["data"].get("folds")
    if folds:
        data["folds"] = dict(folds)
    # Runs of earlier versions have no `slices.json`; their records stay what they were.
    knows_size = folds or (folder / "predictions" / "slices.json").exists()
    scores = {split: metrics[split] for split in SPLITS if isinstance(metrics.get(split), dict)}
    mask = settings["backbone"].get("unmask")
    with _locate(folder):
        return RunRecord(
            name=str(spec["name"]),
            seed=int(spec["seed"]),
            settings=settings,
            data=data,
            scores=scores,
            mask=mask if mask is None or isinstance(mask, str) else json.dumps(mask),
            train=metrics.get("train", {}),
            curve=_curve(folder / "log.jsonl"),
            **_counts(folder / "predictions", settings, scores, data),
            **read_slices(folder / "predictions", scores, by_document=(folds or {}).get("by") == "document"),
            train_sentences=_trained_on(environment) if knows_size else None,
            origin=_origin(folder, spec["backbone"], environment),
            environment={key: environment[key] for key in _ENVIRONMENT if key in environment},
            source=str(folder),
        )


def _trained_on(environment: dict[str, Any]) -> int | None:
    """The number of training sentences, as the run recorded it."""
    data = environment.get("data")
    train = data.get("train") if isinstance(data, dict) else None
    return train.get("sentences") if isinstance(train, dict) else None


_SOURCES = {
    "train": "metrics.json",
    "scores": "metrics.json",
    "curve": "log.jsonl",
    "environment": "environment.json",
    "documents": "predictions/slices.json",
    "positions": "predictions/slices.json",
}
"""The file that a field of a record comes from; others come from spec.yaml."""


@contextmanager
def _locate(folder: Path) -> Iterator[None]:
    """Turn errors in the values of a record into one that names the file they come from."""
    try:
        yield
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        field = str(item["loc"][0]) if item["loc"] else ""
        key = ".".join(map(str, item["loc"]))
        file = folder / _SOURCES.get(field, "spec.yaml")
        raise DataError.at(f"the file is damaged: `{key}`: {item['msg']}", file) from error


def _counts(
    folder: Path, settings: dict[str, Any], scores: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """Counts and confusion of each split with predictions; adds sizes and digests of the splits to `data`."""
    metric, scheme = span_metric(settings), settings.get("scheme", "IOB2")
    counts, confusion = {}, {}
    for split, values in scores.items():
        identity = data.setdefault(split, {})
        identity |= {key: values[key] for key in ("sentences", "words") if key in values}
        path = folder / f"{split}.conll"
        if not path.exists():
            continue
        sentences = read_predictions(path)
        try:
            identity["gold"] = gold_digest(sentences, scheme)
            if metric is None:
                confusion[split] = tag_confusion(sentences)
                continue
            counts[split], confusion[split] = count_spans(sentences, metric, scheme)
        except SchemeError as error:
            raise DataError.at(str(error), path) from error
        for key, field in (("support", "gold"), ("predicted", "predicted"), ("correct", "correct")):
            total = sum(getattr(counts[split], field))
            if values.get(key, total) != total:
                raise DataError.at(
                    f"these are not the predictions that were scored: `{key}` is {total} here "
                    f"and {values[key]} in metrics.json",
                    path,
                )
    return {"counts": counts, "confusion": confusion}


def _origin(folder: Path, backbone: dict[str, Any], environment: dict[str, Any]) -> Origin | None:
    """The origin written when the run began; for older runs, what its path and folder say now."""
    if "origin" not in environment:
        return origin_of(backbone.get("adapter"), backbone.get("name"))
    try:
        return Origin.model_validate(environment["origin"])
    except ValueError as error:
        raise DataError.at(
            f"`origin` is not a pre-trained model: {error}", folder / "environment.json"
        ) from error


def _portable(value: Any) -> Any:
    """The value with absolute paths reduced to their last part, since folders differ between machines.

    Checkpoints of pre-training keep `RUN/steps/0003`, because many runs have a 0003.
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
    """Loss and validation score by update; a line that a kill cut short, or that is damaged, is skipped."""
    loss, validation = [], []
    for values in read_log(path)[0]:
        position = (values.get("step", 0), values.get("epoch", 0.0))
        if isinstance(values.get("loss"), int | float):
            loss.append((*position, values["loss"]))
        score = values.get("eval_f1", values.get("eval_accuracy"))
        if isinstance(score, int | float):
            validation.append((*position, score))
    return LearningCurve(loss=_thinned(loss), validation=validation)


def _thinned(points: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """At most 200 evenly spread points: the mean of each stretch, at its last update."""
    width = -(-len(points) // _MOST_POINTS)
    if width <= 1:
        return points
    stretches = [points[start : start + width] for start in range(0, len(points), width)]
    return [(*part[-1][:2], sum(value for *_, value in part) / len(part)) for part in stretches]
