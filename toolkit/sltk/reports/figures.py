"""The paper's figures: scores against configurations (Figure 2), and against checkpoints (Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..masks import is_digits
from .plotting import COLORS, MARKERS, panels, shown
from .study import Configuration, StudyTask, Summary

_LINES = {"validation": "-", "test": "--"}


def configurations(tasks: Sequence[StudyTask]) -> Any:
    """Score against configuration, masks in Gray-code order; mean with ± sd shaded; a panel a task (Figure 2).

    Where something besides the mask differs, each of its values is a curve of its own. Configurations that
    are no masks of digits have no neighbours: they get points with error bars instead of curves.
    """
    widest = max(len(_ticks(task)) for task in tasks)
    width = max(5.2, 1.4 + (0.29 if widest <= 32 else 0.17) * widest)
    several = max(len(task.series()) for task in tasks) > 1 and any(task.has_masks() for task in tasks)
    made, axes = panels(len(tasks), width, 4.1 if several else 3.5, 2 if widest <= 32 else 1)
    for task, ax in zip(tasks, axes, strict=True):
        _configuration_panel(ax, task)
    return made


def _ticks(task: StudyTask) -> list[str]:
    """What stands on the x axis: masks where they differ, else whole configurations."""
    return list(dict.fromkeys(_tick(task, each) for each in task.configurations))


def _tick(task: StudyTask, configuration: Configuration) -> str:
    return (configuration.mask or "unset") if task.has_masks() else configuration.label


def _configuration_panel(ax: Any, task: StudyTask) -> None:
    ticks = _ticks(task)
    # One series: a colour a split. Several: a colour a series, a kind of line a split.
    groups = task.series() if task.has_masks() else {"": task.configurations}
    for place, (series, members) in enumerate(groups.items()):
        for number, split in enumerate(task.splits):
            color = place if len(groups) > 1 else number
            points = [(ticks.index(_tick(task, each)), each.summary(split)) for each in members]
            label = ", ".join(filter(None, (shown(series), split)))
            _curve(
                ax, points, label, color, _LINES[split], joined=all(is_digits(each.mask) for each in members)
            )
    if len(task.configurations) > 1:
        best = ticks.index(_tick(task, task.best(task.splits[0])))
        ax.axvline(best, color="#8A8F98", linewidth=1, linestyle=":", zorder=0)
        ax.annotate(
            f"best by {task.splits[0]}", (best, 1), xycoords=("data", "axes fraction"), fontsize=7.5, color="#5A5F68",
            xytext=(3, 2), textcoords="offset points", ha="left" if best < len(ticks) * 0.7 else "right",
        )  # fmt: skip
    ax.set_title(shown(task.name), pad=14)
    ax.set_ylabel(f"{'micro F1' if task.measure == 'f1' else 'accuracy'} (points)")
    ax.set_xlabel("configuration, input side first" if task.has_masks() else "configuration")
    steep = len(ticks) > 8 or max(map(len, ticks)) > 6
    ax.set_xticks(
        range(len(ticks)), ticks, rotation=90 if steep else 0, fontsize=8 if len(ticks) <= 32 else 6.5
    )
    ax.set_xlim(-0.6, len(ticks) - 0.4)
    if len(groups) > 1:  # a legend of this size would lie on the curves
        below = -0.3 if steep else -0.2
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=2, fontsize=8)
    else:
        ax.legend(loc="best", fontsize=8)


def _curve(
    ax: Any, points: Sequence[tuple[int, Summary | None]], label: str, color: int, line: str, *, joined: bool
) -> None:
    known = [(x, summary) for x, summary in points if summary is not None]
    x = [x for x, _ in known]
    mean = [100 * summary.mean for _, summary in known]
    sd = [deviation(summary.sd, 100) for _, summary in known]
    look = {"color": COLORS[color % len(COLORS)], "marker": MARKERS[color % len(MARKERS)], "label": label}
    if not joined or len(known) == 1:
        ax.errorbar(x, mean, yerr=sd, linestyle="none", capsize=3, **look)
        return
    ax.plot(x, mean, linestyle=line, **look)
    shade(ax, x, mean, sd, look["color"])


def deviation(sd: float | None, scale: float) -> float:
    """A deviation as it is drawn; that of one seed is not 0 but unknown, and leaves a gap."""
    return math.nan if sd is None else scale * sd


def shade(ax: Any, x: Sequence[float], mean: Sequence[float], sd: Sequence[float], color: str) -> None:
    """± sd about a mean."""
    low = [one - other for one, other in zip(mean, sd, strict=True)]
    high = [one + other for one, other in zip(mean, sd, strict=True)]
    ax.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)


@dataclass(frozen=True)
class Point:
    """One place on a curve: where, mean and sample sd there (fractions)."""

    x: float
    mean: float
    sd: float | None = None


def checkpoint_curves(
    curves: Mapping[str, Mapping[str, Sequence[Point]]],
    x_label: str = "checkpoint",
    y_label: str = "validation micro F1 (points)",
) -> Any:
    """Score against checkpoint: task → name of a curve → points; dashed with dots, ± sd shaded (Figure 3)."""
    made, axes = panels(len(curves), 5.2, 3.4)
    names = list(dict.fromkeys(name for task in curves.values() for name in task))
    for (task, members), ax in zip(curves.items(), axes, strict=True):
        for name, points in members.items():
            place = names.index(name)
            color = COLORS[place % len(COLORS)]
            x, mean = [each.x for each in points], [100 * each.mean for each in points]
            ax.plot(
                x, mean, linestyle="--", linewidth=1.2, marker="o", markersize=3.2, color=color, label=name
            )
            shade(ax, x, mean, [deviation(each.sd, 100) for each in points], color)
        ax.set_title(shown(task))
        ax.locator_params(axis="x", integer=all(each.x == int(each.x) for each in chain(*members.values())))
        ax.set_xlabel(x_label)
        ax.set_ylabel(y_label)
        ax.legend(loc="best", fontsize=8)
    return made
