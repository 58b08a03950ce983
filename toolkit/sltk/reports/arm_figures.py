"""Figures of a study with named arms: scores, differences, score against cost, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..files.safety import printable
from .arm_tables import comparable, relative_time, sentence_interval
from .comparisons import compare_declared
from .diagnostics import by_epoch
from .figures import score_label
from .plotting import COLORS, FAINT, draw_panels, plot_means, shown
from .significance.paired import Interval
from .study import Configuration, StudyTask

_INK = "#5A5F68"


def _color(configuration: Configuration) -> str:
    """Blue, or orange for arms that attend to padding."""
    return COLORS[1] if configuration.attends_to_padding else COLORS[0]


def arms(tasks: Sequence[StudyTask]) -> Any:
    """F1 of each arm: mean, 95 % interval over sentences, and each seed."""
    heights = [1.8 + 0.27 * len(task.configurations) for task in tasks]
    return draw_panels(_arm_panel, tasks, 4.8, heights)


def _arm_panel(ax: Any, task: StudyTask) -> None:
    split = task.splits[-1]
    baseline = task.baseline(task.configurations[0])
    ax.axvline(100 * baseline.summary(split).mean, color=_INK, linewidth=0.9, linestyle=":", zorder=1)
    for y, each in enumerate(task.configurations):
        scores = [100 * score for score in each.scores(split).values()]
        color = _color(each)
        _interval(ax, y, sentence_interval(each, split), color)
        ax.plot(
            scores, [y] * len(scores), "o", color="white", markeredgecolor=color, markersize=3.4, zorder=3
        )
        ax.plot([100 * each.summary(split).mean], [y], "D", color=color, markersize=5, zorder=4)
    _rows(ax, task, [each.label for each in task.configurations])
    ax.set_xlabel(f"{score_label(task, split)}; dotted: {shown(baseline.label)}")
    attends = any(each.attends_to_padding for each in task.configurations)
    _legend(ax, [("attends to padding", COLORS[1])] if attends else [])


def _rows(ax: Any, task: StudyTask, labels: Sequence[str]) -> None:
    ax.set_yticks(range(len(labels)), list(map(shown, labels)))
    ax.set(ylim=(len(labels) - 0.5, -0.5), title=shown(task.name))
    ax.grid(axis="y", visible=False)


def _interval(ax: Any, y: float, interval: Interval | None, color: str, *, width: float = 3.5) -> None:
    if interval is not None and interval.low is not None and interval.high is not None:
        ends = [100 * interval.low, 100 * interval.high]
        ax.plot(ends, [y, y], color=color, linewidth=width, alpha=0.35, solid_capstyle="butt", zorder=2)


def _legend(ax: Any, colors: Sequence[tuple[str, str]], *, seeds: bool = False) -> None:
    """Below the panel, where it covers nothing; `seeds` is for intervals over seeds."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": COLORS[0], "linestyle": "none"}
    handles = [
        Line2D([], [], marker="D", markersize=5, label="mean", **look),
        Line2D([], [], marker="o", markersize=3.4, markerfacecolor="white", label="one seed", **look),
        Line2D([], [], color=COLORS[0], linewidth=3.5, alpha=0.35, label="95 % over sentences"),
    ]
    if seeds:
        label = "95 % over seeds (t)"
        handles.append(Line2D([], [], color=COLORS[0], linewidth=0.9, marker="|", markersize=6, label=label))
    handles += [
        Line2D([], [], marker="D", linestyle="none", color=color, label=name) for name, color in colors
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=5, ncols=2)


def differences(tasks: Sequence[StudyTask]) -> Any:
    """The declared comparisons: difference, 95 % intervals over sentences and over seeds, and each seed."""
    heights = [2.1 + 0.27 * len(compare_declared(task)) for task in tasks]
    return draw_panels(_difference_panel, tasks, 6.4, heights, columns=1)


def _difference_panel(ax: Any, task: StudyTask) -> None:
    family = compare_declared(task)
    ax.axvline(0, color=_INK, linewidth=1, zorder=1)
    for y, each in enumerate(family):
        color = COLORS[0] if each.against is None else COLORS[2]
        over_seeds, over_sentences = each.intervals
        _interval(ax, y, over_sentences, color, width=5)
        seeds = [100 * (one - other) for one, other in zip(*each.scores, strict=True)]
        ax.plot(seeds, [y] * len(seeds), "o", color="white", markeredgecolor=color, markersize=3.4, zorder=3)
        ax.plot([sum(seeds) / len(seeds)], [y], "D", color=color, markersize=5, zorder=4)
        if over_seeds.low is not None and over_seeds.high is not None:
            ends = [100 * over_seeds.low, 100 * over_seeds.high]
            ax.plot(ends, [y, y], color=color, linewidth=0.9, marker="|", markersize=6, zorder=2)
    low, high = _limits(family)
    ax.set_xlim(low, high)
    _rows(ax, task, [each.label for each in family])
    ax.set_yticks(range(len(family)), [printable(each.label) for each in family], fontsize=8)
    ax.set_xlabel(f"difference in {score_label(task, task.splits[-1])}")
    colors = [("difference of differences", COLORS[2])] if any(each.against for each in family) else []
    _legend(ax, colors, seeds=True)


def _limits(family: Sequence[Any]) -> tuple[float, float]:
    """Limits of the axis: everything but t intervals, which a few seeds can make many times as wide."""
    values = [0.0]
    for each in family:
        values += [100 * (one - other) for one, other in zip(*each.scores, strict=True)]
        interval = each.intervals[1]
        if interval is not None and interval.low is not None and interval.high is not None:
            values += [100 * interval.low, 100 * interval.high]
    margin = 0.12 * (max(values) - min(values)) or 1.0
    return min(values) - margin, max(values) + margin


def has_cost(task: StudyTask) -> bool:
    """Whether there are several arms, all with a known speed of training."""
    times = [relative_time(task, each, "training") for each in task.configurations]
    return len(times) > 1 and None not in times


def cost(tasks: Sequence[StudyTask]) -> Any:
    """Score against time per word, in training and in prediction, relative to the baseline."""
    items = [(task, name) for task in tasks for name in ("training", "prediction") if _has_time(task, name)]
    return draw_panels(_cost_panel, items, 5.0, [3.9] * len(items))


def _has_time(task: StudyTask, name: str) -> bool:
    return all(relative_time(task, each, name) is not None for each in comparable(task, name))


def _cost_panel(ax: Any, item: tuple[StudyTask, str]) -> None:
    task, name = item
    split = task.splits[-1]
    placed = []
    for each in comparable(task, name):
        x, y = relative_time(task, each, name) or 0.0, 100 * each.summary(split).mean
        ax.plot([x], [y], "o", color=_color(each))
        placed.append((x, y, each.label))
    low, high = min(x for x, *_ in placed), max(x for x, *_ in placed)
    room = (high - low) or 1.0
    ax.set_xlim(low - 0.08 * room, high + 0.4 * room)  # names are to the right of their points
    ax.margins(y=0.12)
    ax.set(xlabel=f"{name} time per word, relative to {shown(task.baseline(task.configurations[0]).label)}")
    ax.set(ylabel=score_label(task, split), title=shown(task.name))
    _annotate(ax, placed)


def _annotate(ax: Any, placed: Sequence[tuple[float, float, str]]) -> None:
    """Names to the right of the points, moved apart vertically where they would overlap."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    height, width = (top - bottom) / 24, (right - left) / 55
    taken: list[tuple[float, float, float]] = []
    for x, y, label in sorted(placed, key=lambda point: (point[1], point[0])):
        end, at = x + width * (len(shown(label)) + 2), y
        while any(abs(at - other) < height and x < last and first < end for first, last, other in taken):
            at += height / 4
        taken.append((x, end, at))
        line = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.6} if at - y > height / 2 else None
        ax.annotate(
            shown(label), (x, y), xytext=(x + width, at), textcoords="data", fontsize=7.5, va="center",
            arrowprops=line,
        )  # fmt: skip


def has_curves(task: StudyTask) -> bool:
    """Whether an arm has been scored in several epochs."""
    return any(len(record.curve.validation) > 1 for record in task.records())


def curves(tasks: Sequence[StudyTask]) -> Any:
    """Validation score by epoch: one small panel per arm, with the others in grey."""
    items = [(task, each) for task in tasks for each in task.configurations]
    return draw_panels(_curve_panel, items, 2.3, [1.7] * len(items), columns=5)


def _curve_panel(ax: Any, item: tuple[StudyTask, Configuration]) -> None:
    task, shown_arm = item
    for each in task.configurations:
        points = by_epoch([record.curve.validation for record in each.runs.values()])
        if each is shown_arm:
            plot_means(ax, points, color=_color(each), linewidth=1.5, zorder=3)
        else:
            ax.plot(list(points), [100 * point.mean for point in points.values()], color=FAINT, linewidth=0.5)
    _crop(ax, task)
    ax.locator_params(axis="x", integer=True)
    ax.set_title(f"{shown(task.name)}\n{shown(shown_arm.label)}", fontsize=7.5)
    ax.set_xlabel("epoch", fontsize=7)
    ax.tick_params(labelsize=7)


def _crop(ax: Any, task: StudyTask) -> None:
    """Leave out the first quarter of training, whose low scores would hide the differences at its end."""
    curves = (run.curve.validation for run in task.records())
    scores = [100 * score for curve in curves for _, _, score in curve[len(curve) // 4 :]]
    margin = 0.06 * (max(scores) - min(scores)) or 1.0
    ax.set_ylim(min(scores) - margin, max(scores) + margin)
