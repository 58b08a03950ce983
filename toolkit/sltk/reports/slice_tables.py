"""Scores in classes of spans: where one configuration is better than another. data/slices.py defines the classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any

from ..data.slices import DIMENSIONS
from .comparisons import compare_declared
from .plotting import COLORS, draw_panels, shown
from .result_tables import ResultTable
from .run_records import RunRecord, SentenceCounts
from .significance.paired import Interval
from .significance.sentences import f1_intervals
from .significance_tables import interval_text
from .stored_slices import class_counts
from .study import Configuration, StudyTask, points

_FEWEST = 10
"""Classes with fewer gold spans have no interval."""
_MOST_PAIRS = 4
_UNCLEAR = "#8A8F98"
"""The colour of differences whose interval includes 0."""


@dataclass(frozen=True)
class SliceRow:
    """One class of spans: its number of gold spans, and the F1 of both configurations, as means over seeds."""

    dimension: str
    name: str
    gold: int
    one: float
    other: float
    interval: Interval | None
    """Of the difference; None for classes with few spans."""


def _has(task: StudyTask, configuration: Configuration) -> bool:
    return all(task.splits[-1] in run.slices for run in _passes(configuration, configuration.runs))


def _passes(configuration: Configuration, seeds: Iterable[int]) -> list[RunRecord]:
    return [each for seed in seeds for each in configuration.runs[seed].passes]


@lru_cache(maxsize=8)  # for the tables and the figure
def slice_pairs(task: StudyTask) -> list[tuple[Configuration, Configuration, list[SliceRow]]]:
    """The pairs to compare class by class: those declared, else the best by validation with its baseline.

    If the baseline is the best, it is compared with the best of the others. Trials of a search are not compared.
    """
    if task.is_search:
        return []
    if task.compare:
        pairs = [(each.one, each.other) for each in compare_declared(task) if each.against is None][
            :_MOST_PAIRS
        ]
    else:
        pairs = list(_default_pair(task))
    rows = [
        (one, other, _rows(task, one, other)) for one, other in pairs if _has(task, one) and _has(task, other)
    ]
    return [pair for pair in rows if pair[2]]


def _default_pair(task: StudyTask) -> Iterator[tuple[Configuration, Configuration]]:
    split = task.splits[0]
    best = task.best(split)
    baseline = task.baseline(best)
    if best is baseline:
        others = [
            each for each in task.configurations if each is not baseline and task.baseline(each) is baseline
        ]
        best = max(others, key=lambda each: each.summary(split).mean, default=best)
    if best is not baseline:
        yield best, baseline


def _rows(task: StudyTask, one: Configuration, other: Configuration) -> list[SliceRow]:
    split = task.splits[-1]
    seeds = [seed for seed in one.runs if seed in other.runs]
    if not seeds:
        return []
    names, groups = [], []
    for place, (dimension, classes) in enumerate(DIMENSIONS.items()):
        sides = [[_classes(run, split, place) for run in _passes(each, seeds)] for each in (one, other)]
        if not _have_same_gold(*sides):
            continue
        for number, name in enumerate(classes):
            groups.append(([run[number] for run in sides[0]], [run[number] for run in sides[1]]))
            names.append((dimension, name))
    intervals = f1_intervals(groups)
    return [
        SliceRow(*name, gold, _mean_f1(a), _mean_f1(b), interval if gold >= _FEWEST else None)
        for name, (a, b), interval in zip(names, groups, intervals, strict=True)
        if (gold := round(fmean(sum(run.gold) for run in a)))
    ]


def _classes(record: RunRecord, split: str, dimension: int) -> dict[int, SentenceCounts]:
    """The counts of each class of one run, by sentence or by document."""
    documents = record.documents.get(split)
    counts = class_counts(record.slices[split], dimension)
    return counts if documents is None else {key: each.summed(documents) for key, each in counts.items()}


def _have_same_gold(
    one: Sequence[dict[int, SentenceCounts]], other: Sequence[dict[int, SentenceCounts]]
) -> bool:
    """Whether the gold spans are in the same classes on both sides: not if their training data differs."""
    pairs = zip(one, other, strict=True)
    return all(left[key].gold == right[key].gold for left, right in pairs for key in left)


def _mean_f1(runs: Sequence[SentenceCounts]) -> float:
    spans = [(sum(run.gold) + sum(run.predicted), sum(run.correct)) for run in runs]
    return sum(2 * correct / both if both else 0.0 for both, correct in spans) / len(runs)


def slice_tables(task: StudyTask) -> Iterator[ResultTable]:
    """One table for each pair; for a single configuration, its scores in each class."""
    for one, other, rows in slice_pairs(task):
        yield _pair_table(task, one, other, rows)
    if len(task.configurations) == 1 and _has(task, task.configurations[0]):
        yield _single_table(task, task.configurations[0])


def _pair_table(
    task: StudyTask, one: Configuration, other: Configuration, rows: Sequence[SliceRow]
) -> ResultTable:
    columns = ("class of spans", "gold", one.label, other.label, "difference", f"95 % ({task.unit}s)")
    cells = [
        (
            f"{row.dimension}: {row.name}", f"{row.gold:,}", points(row.one), points(row.other),
            points(row.one - row.other, sign=True), interval_text(row.interval),
        )
        for row in rows
    ]  # fmt: skip
    return ResultTable(
        f"Where {one.label} wins over {other.label}", columns, cells, _note(task, compares=True)
    )


def _single_table(task: StudyTask, configuration: Configuration) -> ResultTable:
    split, cells = task.splits[-1], []
    for place, (dimension, classes) in enumerate(DIMENSIONS.items()):
        runs = [_classes(run, split, place) for run in _passes(configuration, configuration.runs)]
        for number, name in enumerate(classes):
            counts = [run[number] for run in runs]
            gold, predicted, correct = (
                sum(sum(getattr(c, key)) for c in counts) for key in ("gold", "predicted", "correct")
            )
            if gold:
                precision, recall = correct / predicted if predicted else 0.0, correct / gold
                texts = points(precision), points(recall), points(_mean_f1(counts))
                cells.append((f"{dimension}: {name}", f"{gold // len(runs):,}", *texts))
    columns = ("class of spans", "gold", "precision", "recall", "F1")
    return ResultTable("Scores by class of spans", columns, cells, _note(task, compares=False))


def _note(task: StudyTask, *, compares: bool) -> str:
    about = (
        f"Strict F1 in points on {task.splits[-1]}, mean over seeds, of the gold and predicted spans in each class. "
        "Same span: its words as an annotated span. Right words needed: how many words after the first word of a span "
        "decide its tag, judging by the occurrences of this word, with the one before it where training has the pair; "
        "undecided where they do not."
    )
    if not compares:
        return about
    return (
        f"{about} Intervals of the difference are by a bootstrap over {task.unit}s and not corrected for the number of "
        f"classes: one of 20 excludes 0 by chance. Classes with fewer than {_FEWEST} gold spans have none."
    )


def figure(tasks: Sequence[StudyTask]) -> Any:
    """The difference in F1 in each class, with its 95 % interval: one panel for each pair."""
    items = [(task, pair) for task in tasks for pair in slice_pairs(task)]
    return draw_panels(
        _panel, items, 6.2, [1.7 + 0.23 * (len(pair[2]) + len(DIMENSIONS)) for _, pair in items]
    )


def _panel(ax: Any, item: tuple[StudyTask, tuple[Configuration, Configuration, list[SliceRow]]]) -> None:
    task, (one, other, rows) = item
    ax.axvline(0, color="#5A5F68", linewidth=1, zorder=1)
    labels: dict[float, str] = {}
    heads: dict[float, str] = {}
    y = 0.0
    for row in rows:
        if row.interval is None:
            continue
        if row.dimension not in heads.values():
            heads[y] = row.dimension
            y += 1
        low, high = (100 * (end or 0.0) for end in (row.interval.low, row.interval.high))
        color = _UNCLEAR if low <= 0 <= high else COLORS[0]
        ax.plot([low, high], [y, y], color=color, linewidth=3.5, alpha=0.4, solid_capstyle="butt", zorder=2)
        ax.plot([100 * (row.one - row.other)], [y], "D", color=color, zorder=3)
        labels[y] = f"{row.name}  ({row.gold:,})"
        y += 1
    places = sorted({**labels, **heads})
    ax.set_yticks(places, [heads.get(place, labels.get(place, "")) for place in places], fontsize=7.5)
    for place, text in zip(places, ax.get_yticklabels(), strict=True):
        if place in heads:
            text.set_fontweight("bold")
    ax.set(ylim=(y - 0.3, -0.7), title=shown(task.name))
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(
        f"difference in {task.splits[-1]} F1 (points): {shown(one.label)} − {shown(other.label)}\n"
        f"bars: 95 % over {task.unit}s, blue without 0; in brackets: gold spans"
    )
