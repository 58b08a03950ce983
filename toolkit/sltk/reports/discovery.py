"""Find the runs of a report: run directories below folders, and files of records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Problem, UsageError
from ..files.paths import resolved
from ..spec.stored import read_mapping
from .run_reader import read_run
from .run_records import RunRecord, is_records, read_records
from .search_results import SearchRecord, is_stopped_early, read_search
from .sweep_plans import SweepPlans


@dataclass
class CollectedRuns:
    """The records of all finished runs, and the folders of runs that a report leaves out."""

    records: list[RunRecord] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    pretraining: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    """Trials of a search that were stopped early."""
    searches: list[SearchRecord] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Notes on runs of cross-validations that are not complete."""
    duplicates: int = 0
    varies_data: bool = False
    """Whether runs belong to a sweep over the data, so that several data sets are intended."""

    @property
    def notes(self) -> list[str]:
        """Notes on runs that the report leaves out, and on the reason for several tasks."""
        notes = []
        if self.duplicates:
            runs = "1 run was" if self.duplicates == 1 else f"{self.duplicates} runs were"
            notes.append(f"{runs} given twice and counted once")
        for kind, folders in (
            ("unfinished", self.unfinished),
            ("pre-training", self.pretraining),
            ("early stopped", self.stopped),
        ):
            if folders:
                runs = "run" if len(folders) == 1 else "runs"
                notes.append(f"{len(folders)} {kind} {runs} left out: {', '.join(folders[:5])}")
        notes += self.left_out
        if self.varies_data:
            notes.append("the sweep varies its data, so each data set is a separate task")
        return notes


def collect(paths: Sequence[Path]) -> CollectedRuns:
    """Collect the runs in and below folders, and those in files of records; each run once.

    Raises:
        UsageError: a path does not exist, or none of them contains a finished run.
        DataError: a run directory or a record is damaged.
    """
    missing = [Problem(f"no such file or folder: `{path}`") for path in paths if not path.exists()]
    if missing:
        raise UsageError(missing)
    runs = CollectedRuns()
    sources = list(dict.fromkeys(source for path in paths for source in _sources(path)))
    records: list[RunRecord] = []
    plans = SweepPlans()
    searches: dict[Path, SearchRecord | None] = {}
    for source in sources:
        if source.is_file():
            records += read_records(source)
            continue
        folder = resolved(source).parent.parent
        if folder not in searches:
            searches[folder] = read_search(folder)
        if not (source / "metrics.json").is_file():  # which is written last
            is_stopped = searches[folder] is not None and is_stopped_early(source)
            (runs.stopped if is_stopped else runs.unfinished).append(str(source))
        elif "corpus" in read_mapping(source / "metrics.json"):
            runs.pretraining.append(str(source))
        elif (search := searches[folder]) is not None:
            records.append(read_run(source).model_copy(update={"trial": f"{search.name}/{source.name}"}))
        else:
            records.append(plans.placed(read_run(source), source))
    runs.searches = [search for search in searches.values() if search is not None]
    if not records:
        raise UsageError(_no_runs(paths, runs))
    unique: dict[str, RunRecord] = {}
    for record in records:
        unique.setdefault(record.json_line(), record)
    runs.records = list(unique.values())
    runs.duplicates = len(records) - len(unique)
    runs.varies_data = plans.varies_data()
    return runs


def _sources(path: Path) -> Iterator[Path]:
    """Run directories and files of records in or below a path, in the order of their names."""
    if path.is_file() or _is_run(path):
        yield path
        return
    for parent, folders, files in os.walk(path):
        folder = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        runs = [name for name in folders if _is_run(folder / name)]
        yield from (folder / name for name in runs)
        folders[:] = [name for name in folders if name not in runs]
        candidates = (folder / name for name in sorted(files) if name.endswith(".jsonl"))
        yield from filter(is_records, candidates)


def _is_run(folder: Path) -> bool:
    return (folder / "spec.yaml").is_file()


def _no_runs(paths: Sequence[Path], runs: CollectedRuns) -> Problem:
    places = ", ".join(f"`{path}`" for path in paths)
    if runs.pretraining:
        message = f"there is only pre-training in {places}, but reports are about labelling runs"
        advice = "loss and perplexity of pre-training are in its metrics.json, and by update in log.jsonl"
    else:
        message = f"no finished run in {places}"
        advice = "a finished run has spec.yaml and metrics.json"
    return Problem(message, notes=(*runs.notes, advice))
