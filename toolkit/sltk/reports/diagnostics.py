"""Figures that explain a score: learning curves, types, confusion of types, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .figures import score_label
from .plotting import COLORS, FAINT, draw_panels, error_bars, plot_means, shown
from .study import StudyTask, Summary

_MOST_NUMBERED = 14
"""With more types than this a confusion matrix has colours and no numbers."""


def has_curves(task: StudyTask) -> bool:
    """Whether any run has logged its training."""
    return any(record.curve.loss or record.curve.validation for record in task.records())


def learning_curves(tasks: Sequence[StudyTask]) -> Any:
    """Loss and validation score by epoch; the best and the baseline in colour, other configurations in grey."""
    curves = [(task, curve) for task in tasks for curve in ("loss", "validation")]
    return draw_panels(_curve_panel, curves, 4.6, [3.0] * len(curves))


def _curve_panel(ax: Any, curve: tuple[StudyTask, str]) -> None:
    task, name = curve
    scale, label = (1, "training loss") if name == "loss" else (100, score_label(task, "validation"))
    colored = named_colors(task)
    for number, each in enumerate(sorted(task.configurations, key=lambda each: each.label in colored)):
        points = by_epoch([getattr(record.curve, name) for record in each.runs.values()])
        look: dict[str, Any] = {"marker": "o" if len(points) <= 30 else None}
        if each.label in colored:
            look |= {"color": colored[each.label], "label": shown(each.label)}
        else:
            look |= {
                "color": FAINT,
                "label": "other configurations" if number == 0 else None,
                "linewidth": 0.9,
            }
        plot_means(ax, points, scale=scale, shaded=each.label in colored, **look)
    ax.set(title=shown(task.name), xlabel="epoch", ylabel=label)
    if ax.get_xlim()[1] >= 2:
        ax.locator_params(axis="x", integer=True)
    if len(task.configurations) > 1:
        ax.legend(loc="best")


def named_colors(task: StudyTask) -> dict[str, str]:
    """The colour of each configuration that figures name: all of up to four, else baseline and best."""
    named = task.configurations
    if len(named) > 4:
        best = task.best(task.splits[0])
        named = [task.baseline(best), best]
    return {each.label: color for each, color in zip(named, COLORS, strict=False)}


def by_epoch(curves: Sequence[Sequence[tuple[int, float, float]]]) -> dict[float, Summary]:
    """Mean and deviation over seeds at each epoch that all of them have."""
    by_seed = [{epoch: value for _, epoch, value in curve} for curve in curves]
    shared = set.intersection(*map(set, by_seed))
    return {epoch: Summary.of([values[epoch] for values in by_seed]) for epoch in sorted(shared)}


def has_types(task: StudyTask) -> bool:
    """Whether there are scores by type."""
    return bool(_types(task))


def _types(task: StudyTask) -> list[str]:
    """Types of the last split, the most frequent first."""
    support: Counter[str] = Counter()
    for configuration in task.configurations:
        for name, scores in configuration.type_scores(task.splits[-1]).items():
            support[name] = max(support[name], *(each.get("support", 0) for each in scores))
    return sorted(support, key=lambda name: (-support[name], name))


def per_type(tasks: Sequence[StudyTask]) -> Any:
    """F1 of each type, most frequent first, for the best configuration and its baseline, ± sd over seeds."""
    heights = [1.1 + 0.3 * max(3, len(_types(task))) for task in tasks]
    return draw_panels(_type_panel, tasks, 5.8, heights, columns=1)


def _type_panel(ax: Any, task: StudyTask) -> None:
    types, colored, split = _types(task), named_colors(task), task.splits[-1]
    named = [each for each in task.configurations if each.label in colored]
    for place, each in enumerate(named):
        offset = (place - (len(named) - 1) / 2) * 0.17
        by_type = each.type_scores(split)
        points = {
            y + offset: Summary.of([scores["f1"] for scores in by_type[name]])
            for y, name in enumerate(types)
            if name in by_type
        }
        look: dict[str, Any] = {"color": colored[each.label], "label": shown(each.label), "marker": "o"}
        error_bars(ax, points, horizontal=True, capsize=2.5, elinewidth=1.1, **look)
    ax.set_yticks(range(len(types)), list(map(shown, types)))
    ax.set(ylim=(len(types) - 0.5, -0.5), xlabel=f"{split} F1 (points)", title=shown(task.name))
    if len(named) > 1:
        ax.legend(loc="best")


def has_confusion(task: StudyTask) -> bool:
    """Whether the best configuration has predictions."""
    return any(task.splits[-1] in record.confusion for record in task.best(task.splits[0]).runs.values())


def confusion(tasks: Sequence[StudyTask]) -> Any:
    """Predicted type by gold type in the best configuration, summed over seeds; rows sum to 1.

    Spans with the same two ends are compared; a gold span without one is missed, a predicted one spurious.
    """
    sizes = [len(_matrix(task)[0]) for task in tasks]
    sides = [2.2 + (0.42 if size <= _MOST_NUMBERED else 0.21) * size for size in sizes]
    return draw_panels(_confusion_panel, tasks, max(sides) + 0.8, sides, columns=1)


def _confusion_panel(ax: Any, task: StudyTask) -> None:
    types, counts = _matrix(task)
    spans, numbered = task.measure == "f1", len(types) <= _MOST_NUMBERED
    keys = [*types, ""] if spans else types
    table = [[counts[gold, predicted] for predicted in keys] for gold in keys]
    shares = [[value / max(1, sum(row)) for value in row] for row in table]
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    ax.set_anchor("W")
    ax.grid(False)
    names, size = list(map(shown, types)), 9 if numbered else 7
    ax.set_xticks(range(len(keys)), [*names, "(missed)"][: len(keys)], rotation=90, fontsize=size)
    ax.set_yticks(range(len(keys)), [*names, "(spurious)"][: len(keys)], fontsize=size)
    best = task.best(task.splits[0])
    seeds = f", {len(best.runs)} seeds" if len(best.runs) > 1 else ""
    title = f"{shown(task.name)}\n{shown(best.label)}, {task.splits[-1]}{seeds}"
    ax.set(xlabel="predicted", ylabel="gold", title=title)
    for y, row in enumerate(table if numbered else []):
        for x, value in enumerate(row):
            ink = "white" if shares[y][x] > 0.6 else "#1C1E21"
            text = f"{value:,}" if value else ""
            ax.text(x, y, text, ha="center", va="center", fontsize=7.5, color=ink)


def _matrix(task: StudyTask) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Types, and how often each is predicted for each."""
    counts: Counter[tuple[str, str]] = Counter()
    for record in task.best(task.splits[0]).runs.values():
        for gold, predicted, count in record.confusion.get(task.splits[-1], ()):
            counts[gold, predicted] += count
    names = {name for pair in counts for name in pair} - {""}
    types = [name for name in _types(task) if name in names]
    return types + sorted(names - set(types)), counts


def has_cost(task: StudyTask) -> bool:
    """Whether there are several configurations, all with a known training time."""
    costs = [each.cost("seconds") for each in task.configurations]
    return len(costs) > 1 and None not in costs


def cost(tasks: Sequence[StudyTask]) -> Any:
    """Score against seconds of training; the line connects the configurations that no faster one beats."""
    return draw_panels(_cost_panel, tasks, 5.2, [3.5] * len(tasks))


def _cost_panel(ax: Any, task: StudyTask) -> None:
    split = task.splits[-1]
    points = [
        (each.cost("seconds") or 0.0, 100 * each.summary(split).mean, each) for each in task.configurations
    ]
    points.sort(key=lambda point: (point[0], -point[1]))
    front: list[tuple[float, float]] = []
    for x, y, _ in points:
        if not front or y > front[-1][1]:
            front.append((x, y))
    ax.plot([x for x, _, _ in points], [y for _, y, _ in points], "o", color=COLORS[0])
    ax.step(*zip(*front, strict=True), where="post", color=COLORS[1], linewidth=1.1, zorder=1)
    for x, y, each in points:
        if (x, y) in front or each.label in named_colors(task):
            ax.annotate(shown(each.label), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7.5)
    xlabel = "training time (s), mean over seeds"
    ax.set(xlabel=xlabel, ylabel=score_label(task, split), title=shown(task.name))
    ax.margins(x=0.14, y=0.14)
