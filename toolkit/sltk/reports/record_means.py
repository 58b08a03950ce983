"""One value for several runs: means of cost and of learning curves, sums of confusions, environments in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from .run_records import LearningCurve, RunRecord


def joint_values(runs: Sequence[RunRecord], splits: Sequence[str]) -> dict[str, Any]:
    """The fields of a record that are combined in the same way for folds and for repetitions."""
    return {
        "train": means([run.train for run in runs]),
        "curve": _mean_curve([run.curve for run in runs]),
        "confusion": {
            split: _summed_confusion(run.confusion.get(split, []) for run in runs) for split in splits
        },
        "train_sentences": _mean_count([run.train_sentences for run in runs]),
        "environment": _common_environment([run.environment for run in runs]),
        "source": ", ".join(run.source for run in runs if run.source),
    }


def means(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each number that all runs have; of integers, the nearest one."""
    found: dict[str, Any] = {}
    for key, value in runs[0].items():
        values = [run.get(key) for run in runs]
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
            mean = fmean(values)  # type: ignore[arg-type]
            found[key] = round(mean) if isinstance(value, int) else mean
    return found


def _mean_curve(curves: Sequence[LearningCurve]) -> LearningCurve:
    """The mean of curves with the same number of points; an empty one for others."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for name in ("loss", "validation"):
        lists = [getattr(curve, name) for curve in curves]
        if len(set(map(len, lists))) == 1:
            found[name] = [
                (round(fmean(p[0] for p in points)), fmean(p[1] for p in points), fmean(p[2] for p in points))
                for points in zip(*lists, strict=True)
            ]
    return LearningCurve(**found)


def _mean_count(counts: Sequence[int | None]) -> int | None:
    """The mean of counts, as an integer; None if one is unknown."""
    known = [count for count in counts if count is not None]
    return round(fmean(known)) if len(known) == len(counts) else None


def _summed_confusion(parts: Iterable[Iterable[tuple[str, str, int]]]) -> list[tuple[str, str, int]]:
    """The counts of all parts, by gold and predicted type."""
    sums: Counter[tuple[str, str]] = Counter()
    for part in parts:
        for gold, predicted, count in part:
            sums[gold, predicted] += count
    return [(*pair, count) for pair, count in sorted(sums.items())]


def _common_environment(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values that all runs share; where they differ, all of them as text."""
    joined: dict[str, Any] = {}
    for key, value in runs[0].items():
        values = [run.get(key) for run in runs]
        differ = any(each != value for each in values)
        joined[key] = ", ".join(dict.fromkeys(map(str, values))) if differ else value
    return joined
