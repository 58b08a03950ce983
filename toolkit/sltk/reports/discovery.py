"""Finds runs: run directories below folders, and files of records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import Problem, UsageError
from .run_reader import is_finished, is_pretraining, is_run, read_run
from .run_records import RunRecord, is_records, read_records

_PLAN = "sweep.yaml"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class CollectedRuns:
    """The records of all finished runs, and the folders of those that are not finished, or label nothing."""

    records: list[RunRecord] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    pretraining: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    varies_data: bool = False
    """Whether runs belong to a sweep that varies the data, so that different data are meant."""


def collect(paths: Sequence[Path]) -> CollectedRuns:
    """The runs in and below the given folders, and those of files of records; each run once.

    Raises:
        UsageError: a path is not there, or there is no finished run below any.
        DataError: a run directory or a record is damaged.
    """
    missing = [Problem(f"no such file or folder: `{path}`") for path in paths if not path.exists()]
    if missing:
        raise UsageError(missing)
    found = CollectedRuns()
    places = list(dict.fromkeys(place for path in paths for place in _places(path)))
    for place in places:
        if place.is_file():
            found.records += read_records(place)
        elif not is_finished(place):
            found.unfinished.append(str(place))
        elif is_pretraining(place):
            found.pretraining.append(str(place))
        else:
            found.records.append(read_run(place).model_copy(update={"sweep": _sweep_of(place)}))
    sweeps = {place.resolve().parents[1] / _PLAN for place in places if place.is_dir()}
    found.varies_data = any(map(_varies_data, sorted(sweeps)))
    if not found.records:
        raise UsageError(_nothing(paths, found))
    found.records = _each_once(found)
    return found


def _places(path: Path) -> Iterator[Path]:
    """Run directories and files of records in or below a path, in the order of their names."""
    if path.is_file() or is_run(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        inside = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        runs = [name for name in folders if is_run(inside / name)]
        yield from (inside / name for name in runs)
        folders[:] = [name for name in folders if name not in runs]
        yield from (
            inside / name for name in sorted(files) if name.endswith(".jsonl") and is_records(inside / name)
        )


def _sweep_of(run: Path) -> str | None:
    folder = run.resolve().parents[1]
    return folder.name if (folder / _PLAN).is_file() else None


def _varies_data(sweep: Path) -> bool:
    """Whether the plan of a sweep gives its runs different keys under `data`."""
    try:
        plan = yaml.load(sweep.read_text(encoding="utf-8"), Loader=_LOADER)["sweep"]["runs"]
        return any(str(key).partition(".")[0] == "data" for settings in plan.values() for key in settings)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return False  # no sweep, or none that says how its runs differ: nothing is taken for meant


def _nothing(paths: Sequence[Path], found: CollectedRuns) -> Problem:
    places = ", ".join(f"`{path}`" for path in paths)
    if found.pretraining:
        return Problem(
            f"a report is about runs that label; in {places} there is only pre-training: "
            f"{', '.join(found.pretraining[:5])}",
            notes=(
                "loss and perplexity of pre-training stand in its metrics.json, update by update in log.jsonl",
                "runs that start from the models it kept are reported as curves over them",
            ),
        )
    note = (
        f"unfinished: {', '.join(found.unfinished[:5])}"
        if found.unfinished
        else "a run directory has spec.yaml and metrics.json"
    )
    return Problem(f"no finished run in {places}", notes=(note,))


def _each_once(found: CollectedRuns) -> list[RunRecord]:
    """Records without those that say the same: a run given as a directory and as a record, say."""
    kept: dict[str, RunRecord] = {}
    for record in found.records:
        kept.setdefault(record.json_line(), record)
    if doubles := len(found.records) - len(kept):
        found.notes.append(
            f"{doubles} run{'s were' if doubles > 1 else ' was'} given twice, and counted once"
        )
    return list(kept.values())
