"""What the directory of a run says about it: not begun, begun, finished, or damaged by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ..files import atomic
from ..specs.differences import differences
from ..specs.stored import BEFORE_SPEC, stored
from .index import Row
from .plan import PlannedRun


def record(run: PlannedRun, folder: Path, known: Row | None) -> Row:
    """The row of a run as its directory says it is; `known` adds what no directory can say."""
    row = known if known is not None and known.digest == run.digest else Row(run.name, run.digest)
    if row.state == "running":  # nobody runs it: its sweep was killed
        row = replace(row, state="waiting", interruptions=row.interruptions + 1)
    damage = next(_damages(run, folder, row), None)
    if damage:
        return replace(row, state="damaged", reason=damage)
    if (folder / "metrics.json").exists():
        return row if row.state == "done" else finished(row, folder)
    if row.state in ("done", "damaged"):
        return Row(run.name, run.digest)
    return row


def finished(row: Row, folder: Path) -> Row:
    """The row of a finished run."""
    raw = (folder / "metrics.json").read_bytes()
    metrics = json.loads(raw)
    seconds = row.seconds or sum(metrics["train"].get(key) or 0 for key in ("seconds", "evaluation_seconds"))
    return Row(
        row.name,
        row.digest,
        "done",
        seconds=seconds,
        bytes=_size(folder),
        validation=score(metrics.get("validation")),
        test=score(metrics.get("test")),
        metrics=hashlib.sha256(raw).hexdigest(),
    )


def score(scores: dict[str, Any] | None) -> float | None:
    """F1, or accuracy where there is none."""
    found = (scores or {}).get("f1", (scores or {}).get("accuracy"))
    return None if found is None else float(found)


def newest_step(folder: Path) -> int:
    """The update of the newest checkpoint; 0 without one."""
    numbers = [path.name.rpartition("-")[2] for path in (folder / "checkpoints").glob("checkpoint-*")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _damages(run: PlannedRun, folder: Path, row: Row) -> Iterator[str]:
    """What is not as sltk leaves it."""
    if not folder.exists():
        return
    if not folder.is_dir():
        yield "it is no directory"
        return
    if not (folder / "spec.yaml").exists():
        names = {path.name for path in folder.iterdir() if not atomic.is_partial(path.name)} - BEFORE_SPEC
        if names:
            yield f"there is no spec.yaml, but {', '.join(sorted(names)[:3])}"
        return
    yield from _spec_damages(run, folder)
    if not (folder / "environment.json").exists():
        yield "environment.json is gone"
    if (folder / "metrics.json").exists():
        yield from _metrics_damages(run, folder, row)
    elif row.state == "done":
        yield "metrics.json is gone"


def _spec_damages(run: PlannedRun, folder: Path) -> Iterator[str]:
    try:
        found = stored((folder / "spec.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield f"spec.yaml cannot be read: {str(error).splitlines()[0]}"
        return
    if not isinstance(found, dict):
        yield "spec.yaml holds no spec"
        return
    # A run keeps copies of its imports beside its spec, which names those.
    differing = list(differences({**found, "imports": None}, {**run.resolved, "imports": None}))
    if differing:
        yield f"its spec.yaml is not that of the plan: {'; '.join(differing[:3])}"


def _metrics_damages(run: PlannedRun, folder: Path, row: Row) -> Iterator[str]:
    raw = (folder / "metrics.json").read_bytes()
    try:
        metrics = json.loads(raw)
    except ValueError:
        yield "metrics.json is not JSON"
        return
    if row.state == "done" and row.metrics and hashlib.sha256(raw).hexdigest() != row.metrics:
        yield "metrics.json is not as it was written"
    splits = [name for name in ("validation", "test") if getattr(run.experiment.data, name) is not None]
    absent = [key for key in (*splits, "train") if not isinstance(metrics, dict) or key not in metrics]
    if absent:
        yield f"metrics.json has no {', '.join(absent)}"
    needed = ["model/sltk.json", *(["model/head.safetensors"] if run.experiment.type == "tagger" else [])]
    for name in needed:
        if not (folder / name).is_file():
            yield f"{name} is gone"
    for split in splits:
        if not any((folder / "predictions").glob(f"{split}.*")):
            yield f"predictions/{split}.conll is gone"
