"""What finished runs predicted for sentences that they were not trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.fingerprint import fingerprint
from ..data.splits import load_splits
from ..errors import Problem, UsageError, nearest
from ..files.data_files import is_missing
from ..files.safety import cell
from ..rundir.directory import RunDirectory
from ..spec.experiment import Experiment
from ..spec.imports import ImportPolicy
from ..spec.stored import read_mapping
from .run_errors import SPLITS, ComparedSentence, read_errors

Words = tuple[str, ...]


@dataclass
class HeldOutRun:
    """The predictions of one run, by the words of the sentence."""

    folder: Path
    is_plain: bool
    has_scores: bool
    sentences: dict[Words, ComparedSentence]
    """Those that the run labelled and was not trained on, as far as that is known."""
    trained: int = 0
    """Sentences that are left out because their words are in the run's training data."""
    notes: list[str] = field(default_factory=list)


def find_runs(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The finished labelling runs in and below folders, and the other runs.

    Raises:
        UsageError: a path does not exist, or there is no finished run in any of them.
    """
    paths = list(paths)
    missing = [_not_a_folder(path) for path in paths if not path.is_dir()]
    if missing:
        raise UsageError(missing)
    folders = list(dict.fromkeys(folder for path in paths for folder in runs_below(path)))
    finished = [folder for folder in folders if _is_finished(folder)]
    if not finished:
        places = ", ".join(f"`{path}`" for path in paths)
        note = f"unfinished runs, and runs that label nothing: {len(folders)}"
        if not folders:
            note = "expected run directories, or folders that contain some"
        raise UsageError(Problem(f"no finished labelling run in {places}", notes=(note,)))
    return finished, [folder for folder in folders if folder not in finished]


def _not_a_folder(path: Path) -> Problem:
    if path.exists():
        return Problem(f"`{path}` is a file, not a folder with runs")
    names = [each.name for each in path.parent.iterdir() if each.is_dir()] if path.parent.is_dir() else []
    return Problem(f"no such folder: `{path}`", suggestion=nearest(path.name, names))


def runs_below(path: Path) -> Iterator[Path]:
    """The run directories in and below a folder, in the order of their names."""
    for parent, folders, files in os.walk(path):
        if "spec.yaml" in files:
            yield Path(parent)
            folders.clear()
        folders.sort()


def _is_finished(folder: Path) -> bool:
    metrics = folder / "metrics.json"
    return (
        metrics.is_file()
        and any(split in read_mapping(metrics) for split in SPLITS)
        and any((folder / "predictions" / f"{split}.conll").is_file() for split in SPLITS)
    )


def read_held_out(folders: Sequence[Path], policy: ImportPolicy) -> Iterator[HeldOutRun]:
    """Yield the predictions of each run; runs that share their training data read it once.

    Raises:
        InputError: a run directory is damaged, its spec has code that may not run, or its training data is malformed.
    """
    training: dict[str, _Training] = {}
    for folder in folders:
        experiment = RunDirectory(folder).experiment(policy)
        labels = _labels(folder)
        key = f"{experiment.scheme} {labels} {experiment.data.model_dump_json(serialize_as_any=True)}"
        if key not in training:
            training[key] = _training(experiment, labels)
        yield _held_out(folder, training[key])


@dataclass(frozen=True)
class _Training:
    """The training data of a run as it is now."""

    words: frozenset[Words]
    digest: str | None
    """None if the labels of the model are not known."""
    missing: Path | None = None
    """A file of it that is gone."""


def _labels(folder: Path) -> list[str] | None:
    """The labels of the model, which are part of the fingerprint of its data; None if the model was removed."""
    description = folder / "model" / "sltk.json"
    return read_mapping(description).get("labels") if description.is_file() else None


def _training(experiment: Experiment, labels: list[str] | None) -> _Training:
    assert experiment.data.train is not None
    for _, path in experiment.data.train.paths():
        if is_missing(path):
            return _Training(frozenset(), None, path)
    train = load_splits(experiment.data, experiment.scheme, ["train"])["train"]
    digest = None if labels is None else str(fingerprint(train, labels)["digest"])
    return _Training(frozenset(stored_words(sentence.words) for sentence in train), digest)


def stored_words(words: Iterable[str]) -> Words:
    """The words as a file of predictions has them: tabs and line ends are symbols."""
    return tuple(map(cell, words))


def _held_out(folder: Path, training: _Training) -> HeldOutRun:
    labelled: dict[Words, ComparedSentence] = {}
    has_scores, is_plain = True, False
    for split in SPLITS:
        if (folder / "predictions" / f"{split}.conll").is_file():
            errors = read_errors(folder, split)
            has_scores, is_plain = has_scores and errors.has_scores, errors.scheme == "plain"
            for sentence in errors.sentences:
                labelled.setdefault(sentence.words, sentence)
    kept = {words: sentence for words, sentence in labelled.items() if words not in training.words}
    run = HeldOutRun(folder, is_plain, has_scores, kept, len(labelled) - len(kept))
    run.notes = list(_notes(run, training, read_mapping(folder / "environment.json")))
    return run


def _notes(run: HeldOutRun, training: _Training, environment: dict[str, Any]) -> Iterator[str]:
    """What makes disagreement of a run with the data less reliable."""
    recorded = environment.get("data")
    recorded = recorded.get("train") if isinstance(recorded, dict) else None
    digest = recorded.get("digest") if isinstance(recorded, dict) else None
    if training.missing is not None:
        yield (
            f"`{run.folder}`: its training data is gone (`{training.missing}`), so it is not known whether it was "
            "trained on these sentences; if it was, its disagreement means little"
        )
    elif training.digest is not None and digest is not None and training.digest != digest:
        yield f"`{run.folder}`: its training data has changed since, so it may have been trained on other sentences"
    if run.trained:
        yield f"`{run.folder}`: sentences left out because it was trained on their words: {run.trained:,}"
    if not run.has_scores:
        yield f"`{run.folder}`: it stores no scores, so its disagreement has no confidence"
