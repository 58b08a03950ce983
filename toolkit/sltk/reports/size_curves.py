"""Learning curves: score against the number of training sentences, where a sweep varies the limit of the data."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from .arm_tables import sentence_interval
from .figures import score_label
from .plotting import COLORS, MARKERS, draw_panels, shown
from .result_tables import ResultTable
from .significance_tables import interval_text
from .study import Configuration, StudyTask, points


def has_sizes(task: StudyTask) -> bool:
    """Whether some setting was trained on several amounts of data."""
    return any(len(curve) > 1 for curve in _curves(task).values())


def _curves(task: StudyTask) -> dict[str, dict[float, Configuration]]:
    """The configurations of each curve by their number of training sentences, smallest first."""
    curves: dict[str, dict[float, Configuration]] = {}
    for each in task.configurations:
        if (size := training_size(each)) is not None:
            curves.setdefault(each.curve, {})[size] = each
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def training_size(configuration: Configuration) -> float | None:
    """The number of training sentences, as mean over runs; the limit for runs that do not say."""
    sizes = [run.train_sentences or run.train_limit for run in configuration.runs.values()]
    known = [size for size in sizes if size is not None]
    return fmean(known) if known and len(known) == len(sizes) else None


def table(task: StudyTask) -> ResultTable:
    """One row for each setting and number of training sentences."""
    split = task.splits[-1]
    rows = []
    for name, curve in _curves(task).items():
        before: float | None = None
        for size, each in curve.items():
            summary = each.summary(split)
            interval = interval_text(sentence_interval(each, split), sign=False)
            gain = "" if before is None else points(summary.mean - before, sign=True)
            rows.append((name, f"{size:,.0f}", str(summary.n), summary.points(), interval, gain))
            before = summary.mean
    columns = ("configuration", "sentences", "n", split, f"95 % ({task.unit}s)", "gain")
    note = (
        f"{task.measure_name} in points on {split} by the number of training sentences: mean ± sample standard "
        f"deviation over n seeds, with the interval of the mean by a bootstrap over {task.unit}s. The gain is over the "
        "row above. A limit takes the first sentences of one order, that of the data or, with a seed, a random one: "
        "each training set contains the smaller ones."
    )
    return ResultTable("Learning curves by training data", columns, rows, note)


def figure(tasks: Sequence[StudyTask]) -> Any:
    """Score against the number of training sentences: mean, 95 % interval, and each seed; one panel per task."""
    return draw_panels(_panel, tasks, 5.6, [3.9] * len(tasks))


def _panel(ax: Any, task: StudyTask) -> None:
    split = task.splits[-1]
    curves = {name: curve for name, curve in _curves(task).items() if len(curve) > 1}
    ticks = sorted({size for curve in curves.values() for size in curve})
    for number, (name, curve) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        means = [100 * each.summary(split).mean for each in curve.values()]
        ax.plot(
            list(curve),
            means,
            color=color,
            marker=MARKERS[number % len(MARKERS)],
            label=shown(name),
            zorder=4,
        )
        intervals = [sentence_interval(each, split) for each in curve.values()]
        low = [100 * (each.low or 0.0) if each else mean for each, mean in zip(intervals, means, strict=True)]
        high = [
            100 * (each.high or 0.0) if each else mean for each, mean in zip(intervals, means, strict=True)
        ]
        ax.fill_between(list(curve), low, high, color=color, alpha=0.14, linewidth=0)
        for size, each in curve.items():
            seeds = [100 * score for score in each.scores(split).values()]
            if len(seeds) > 1:
                look = {"color": "white", "markeredgecolor": color, "markersize": 3.2}
                ax.plot([size] * len(seeds), seeds, "o", zorder=3, **look)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{size:,.0f}" for size in ticks])
    ax.minorticks_off()
    if len(ticks) > 7:
        ax.tick_params(axis="x", labelrotation=45)
    ax.set(xlabel="training sentences (log scale)", ylabel=score_label(task, split), title=shown(task.name))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
