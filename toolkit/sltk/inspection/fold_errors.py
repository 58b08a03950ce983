"""What the page of errors shows: single runs, or all folds of a cross-validation as one run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import Problem, UsageError
from ..files.paths import resolved
from ..spec.stored import read_mapping
from .held_out_runs import runs_below
from .run_errors import RunErrors, read_errors

_FOLD = re.compile(r"(?:^|,)fold=\d+$")
"""The fold in the name of a run of a sweep."""


@dataclass(frozen=True)
class ShownRun:
    """A run directory, or those of all folds of a cross-validation, in their order."""

    folders: tuple[Path, ...]

    def read(self, split: str | None) -> RunErrors:
        """The errors of the run, or of the test parts of all folds: each sentence once.

        Raises:
            UsageError: a folder holds no finished run, or not this split; or it is the validation data of folds.
            DataError: a run directory is damaged.
        """
        first, *others = self.folders
        if not others:
            return read_errors(first, split)
        if split == "validation":
            note = "give the run directory of one fold: folds share validation sentences"
            raise UsageError(Problem("several folds can be shown on their test parts only", notes=(note,)))
        folds = [read_errors(folder, "test") for folder in self.folders]
        part = _FOLD.sub("", resolved(first).name)
        name = " ".join(filter(None, (_name(first), f"({part})" if part else "")))
        return replace(
            folds[0],
            name=f"{name}, {len(folds)} folds",
            has_scores=all(fold.has_scores for fold in folds),
            sentences=[sentence for fold in folds for sentence in fold.sentences],
        )


def shown_runs(paths: Sequence[Path]) -> list[ShownRun]:
    """What to show of run directories and of folders of sweeps over folds, in the order of `paths`.

    Runs that differ in their fold only are one run; a single one stays what it is.

    Raises:
        UsageError: a cross-validation lacks folds, or has one twice.
        DataError: the spec of a run is damaged.
    """
    groups: dict[str, list[tuple[int, Path]]] = {}
    sizes: dict[str, int] = {}
    from_folder: set[str] = set()
    for path in paths:
        folders = list(_folds_below(path))
        for folder in folders or [path]:
            key, k, fold = _place(folder)
            if not fold:  # stays alone, even if it is given twice
                key = str(len(groups))
            sizes[key] = k
            groups.setdefault(key, []).append((fold, folder))
            if folders:
                from_folder.add(key)
    for key, members in groups.items():
        if len(members) > 1 or key in from_folder:
            _check_complete(members, sizes[key])
    return [ShownRun(tuple(folder for _, folder in sorted(members))) for members in groups.values()]


def page_name(paths: Sequence[Path]) -> str:
    """The name of a page, from the folders that it shows, without their folds."""
    names = []
    for path in map(resolved, paths):
        is_fold = _FOLD.search(path.name) is not None
        names.append((_FOLD.sub("", path.name) or path.parent.parent.name if is_fold else path.name)[:80])
    return "-".join(dict.fromkeys(names)) or "run"


def _folds_below(path: Path) -> Iterator[Path]:
    """The runs below a folder that is none itself, if all of them are folds."""
    if not path.is_dir() or (path / "spec.yaml").is_file():
        return
    runs = list(runs_below(path))
    if all(_place(run)[2] for run in runs):
        yield from runs


def _place(folder: Path) -> tuple[str, int, int]:
    """What the folds of a cross-validation share, their number, and which one this is; 0 for other runs."""
    path = folder / "spec.yaml"
    spec = read_mapping(path) if path.is_file() else {}
    data = spec.get("data")
    folds = data.get("folds") if isinstance(data, dict) else None
    fold = folds.get("fold") if isinstance(folds, dict) else None
    if not isinstance(fold, int) or not isinstance(data, dict) or not isinstance(folds, dict):
        return "", 0, 0
    common = {**spec, "data": {**data, "folds": {**folds, "fold": None}}}
    return json.dumps(common, sort_keys=True, default=str), int(folds.get("k", 0)), fold


def _name(folder: Path) -> str:
    return str(read_mapping(folder / "spec.yaml").get("name", ""))


def _check_complete(members: Sequence[tuple[int, Path]], k: int) -> None:
    """Check that each fold of a cross-validation is there once, and finished.

    Raises:
        UsageError: it is not.
    """
    finished = [(fold, folder) for fold, folder in members if (folder / "metrics.json").is_file()]
    by_fold: dict[int, Path] = {}
    for fold, folder in finished:
        if fold in by_fold:
            message = f"fold {fold} is given twice, with the same settings"
            raise UsageError(Problem(message, notes=(str(by_fold[fold]), str(folder))))
        by_fold[fold] = folder
    missing = [str(fold) for fold in range(1, k + 1) if fold not in by_fold]
    if missing:
        first = members[0][1]
        notes = (
            f"one of its runs: {first}",
            "`sltk sweep` trains the missing ones; one run directory shows one fold",
        )
        raise UsageError(
            Problem(f"fold {', '.join(missing)} of {k} is missing: errors need all folds", notes=notes)
        )
