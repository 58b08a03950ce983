"""Reads the state of a run from its directory: waiting, done or damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..rundir.ownership import foreign_files
from ..spec.stored import differences, read_mapping, with_new_keys
from .index import Row
from .plan import PlannedRun


def read_row(run: PlannedRun, folder: Path, indexed: Row | None) -> Row:
    """The row of a run according to its directory; `indexed` adds what no directory records."""
    row = indexed if indexed is not None and indexed.digest == run.digest else Row(run.name, run.digest)
    if row.state == "running":  # its sweep was killed: this process holds the lock
        row = replace(row, state="waiting", interruptions=row.interruptions + 1)
    damage = next(_damages(run, folder, row), None)
    if damage:
        return replace(row, state="damaged", reason=damage)
    if (folder / "metrics.json").exists():
        return row if row.state == "done" else finished_row(row, folder)
    if row.state in ("done", "damaged"):
        return Row(run.name, run.digest)
    return row


def finished_row(row: Row, folder: Path) -> Row:
    """The row of a finished run."""
    raw = (folder / "metrics.json").read_bytes()
    metrics = json.loads(raw)
    seconds = row.seconds or sum(metrics["train"].get(key) or 0 for key in ("seconds", "evaluation_seconds"))
    return Row(
        row.name,
        row.digest,
        "done",
        seconds=seconds,
        bytes=sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()),
        validation=main_score(metrics.get("validation")),
        test=main_score(metrics.get("test")),
        metrics=hashlib.sha256(raw).hexdigest(),
    )


def main_score(scores: dict[str, Any] | None) -> float | None:
    """The score that runs are compared by: F1, or accuracy for metrics without F1."""
    score = (scores or {}).get("f1", (scores or {}).get("accuracy"))
    return None if score is None else float(score)


def newest_step(folder: Path) -> int:
    """The update of the newest checkpoint; 0 without one."""
    numbers = [path.name.rpartition("-")[2] for path in (folder / "checkpoints").glob("checkpoint-*")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _damages(run: PlannedRun, folder: Path, row: Row) -> Iterator[str]:
    """Everything in the directory that differs from what sltk would have written."""
    if not folder.exists():
        return
    if not folder.is_dir():
        yield "it is not a directory"
        return
    if not (folder / "spec.yaml").exists():
        names = foreign_files(folder)
        if names:
            yield f"there is no spec.yaml, but {', '.join(names[:3])}"
        return
    yield from _spec_damages(run, folder)
    if not (folder / "environment.json").exists():
        yield "environment.json is missing"
    if (folder / "metrics.json").exists():
        yield from _metrics_damages(run, folder, row)
    elif row.state == "done":
        yield "metrics.json is missing"


def _spec_damages(run: PlannedRun, folder: Path) -> Iterator[str]:
    try:
        spec = read_mapping(folder / "spec.yaml")
    except InputError as error:
        yield f"spec.yaml cannot be read: {error.problems[0].message}"
        return
    # A run directory contains copies of the imported files, and its spec refers to those.
    stored = with_new_keys(spec, run.resolved, run.experiment)
    differing = list(differences({**stored, "imports": None}, {**run.resolved, "imports": None}))
    if differing:
        yield f"its spec.yaml differs from the plan: {'; '.join(differing[:3])}"


def _metrics_damages(run: PlannedRun, folder: Path, row: Row) -> Iterator[str]:
    path = folder / "metrics.json"
    try:
        metrics = read_mapping(path)
    except InputError as error:
        yield f"metrics.json is not JSON: {error.problems[0].message}"
        return
    if row.state == "done" and row.metrics and hashlib.sha256(path.read_bytes()).hexdigest() != row.metrics:
        yield "metrics.json has been changed"
    splits = [name for name in ("validation", "test") if getattr(run.experiment.data, name) is not None]
    absent = [key for key in (*splits, "train") if not _has_numbers(metrics.get(key))]
    if absent:
        yield f"metrics.json has no {', '.join(absent)}"
    expected = ["model/sltk.json", *(["model/head.safetensors"] if run.experiment.type == "tagger" else [])]
    for name in expected:
        if not (folder / name).is_file():
            yield f"{name} is missing"
    for split in splits:
        if not (folder / "predictions" / f"{split}.conll").is_file():
            yield f"predictions/{split}.conll is missing"


def _has_numbers(part: Any) -> bool:
    """Whether a part of `metrics.json` is a mapping whose scores and times are numbers, as far as it has any."""
    keys = ("f1", "accuracy", "seconds", "evaluation_seconds")
    return isinstance(part, dict) and all(isinstance(part.get(key) or 0, int | float) for key in keys)
