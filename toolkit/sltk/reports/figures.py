"""The paper's figures: score against configuration (Figure 2), and against checkpoint (Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..masks import is_digits
from .plotting import COLORS, MARKERS, draw_panels, error_bars, plot_means, shown
from .study import Configuration, StudyTask, Summary

_LINES = {"validation": "-", "test": "--"}


def score_label(task: StudyTask, split: str = "") -> str:
    """The label of an axis of scores."""
    return f"{split} {'micro F1' if task.measure == 'f1' else 'accuracy'} (points)".strip()


def configurations(tasks: Sequence[StudyTask]) -> Any:
    """Score against configuration, mean ± sd, masks in Gray-code order, with one panel per task (Figure 2).

    Each combination of the other settings that vary is a curve. Configurations that are not masks of digits have no
    natural neighbours: they get points with error bars instead of a curve.
    """
    widest = max(len(_ticks(task)) for task in tasks)
    width = max(5.2, 1.4 + (0.29 if widest <= 32 else 0.17) * widest)
    several = max(len(task.series()) for task in tasks) > 1 and any(task.has_masks() for task in tasks)
    heights = [4.1 if several else 3.5] * len(tasks)
    return draw_panels(_configuration_panel, tasks, width, heights, 2 if widest <= 32 else 1)


def _ticks(task: StudyTask) -> list[str]:
    """The values of the x axis: masks if they vary, else whole configurations."""
    return list(dict.fromkeys(_tick(task, each) for each in task.configurations))


def _tick(task: StudyTask, configuration: Configuration) -> str:
    return (configuration.mask or "unset") if task.has_masks() else configuration.label


def _configuration_panel(ax: Any, task: StudyTask) -> None:
    ticks = _ticks(task)
    groups = task.series() if task.has_masks() else {"": task.configurations}
    for number, (series, members) in enumerate(groups.items()):
        for position, split in enumerate(task.splits):
            points = {ticks.index(_tick(task, each)): each.summary(split) for each in members}
            # Colours are splits if there is one series, and series otherwise.
            place = (number if len(groups) > 1 else position) % len(COLORS)
            look: dict[str, Any] = {"color": COLORS[place], "marker": MARKERS[place]}
            look["label"] = ", ".join(filter(None, (shown(series), split)))
            if len(points) > 1 and all(is_digits(each.mask) for each in members):
                plot_means(ax, points, linestyle=_LINES[split], **look)
            else:
                error_bars(ax, points, capsize=3, **look)
    if len(task.configurations) > 1:
        _mark_best(ax, task, ticks)
    ax.set_title(shown(task.name), pad=14)
    xlabel = "configuration (input side first)" if task.has_masks() else "configuration"
    ax.set(xlabel=xlabel, ylabel=score_label(task), xlim=(-0.6, len(ticks) - 0.4))
    steep = len(ticks) > 8 or max(map(len, ticks)) > 6
    size = 8 if len(ticks) <= 32 else 6.5
    ax.set_xticks(range(len(ticks)), ticks, rotation=90 if steep else 0, fontsize=size)
    if len(groups) > 1:  # a legend of this size would cover the curves
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3 if steep else -0.2), ncols=2)
    else:
        ax.legend(loc="best")


def _mark_best(ax: Any, task: StudyTask, ticks: Sequence[str]) -> None:
    split = task.splits[0]
    best = ticks.index(_tick(task, task.best(split)))
    ax.axvline(best, color="#8A8F98", linewidth=1, linestyle=":", zorder=0)
    ax.annotate(
        f"best by {split}",
        (best, 1),
        xycoords=("data", "axes fraction"),
        fontsize=7.5,
        color="#5A5F68",
        xytext=(3, 2),
        textcoords="offset points",
        ha="left" if best < len(ticks) * 0.7 else "right",
    )


def checkpoint_curves(
    curves: Mapping[str, Mapping[str, Mapping[int, Summary]]], y_label: str = "validation micro F1 (points)"
) -> Any:
    """Score against checkpoint, mean ± sd, with one panel per task (Figure 3).

    Args:
        curves: task → name of the curve → number of the checkpoint → score.
    """
    names = list(dict.fromkeys(name for task in curves.values() for name in task))

    def draw(ax: Any, task: str) -> None:
        for name, points in curves[task].items():
            color = COLORS[names.index(name) % len(COLORS)]
            look: dict[str, Any] = {"linewidth": 1.2, "marker": "o", "markersize": 3.2}
            plot_means(ax, points, linestyle="--", color=color, label=name, **look)
        ax.locator_params(axis="x", integer=True)
        ax.set(title=shown(task), xlabel="checkpoint", ylabel=y_label)
        ax.legend(loc="best")

    return draw_panels(draw, list(curves), 5.2, [3.4] * len(curves))
