"""Figures that explain a score: learning curves, types, confusion of types, cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from .figures import deviation, shade
from .plotting import COLORS, FAINT, panels, shown, stacked
from .run_records import RunRecord
from .study import Configuration, StudyTask, Summary

_MOST_NUMBERED = 14
"""Above this many types a confusion matrix has colours and no numbers."""


def has_curves(task: StudyTask) -> bool:
    """Whether any run has logged how its training went."""
    return any(record.curve.loss or record.curve.validation for record in task.records())


def learning_curves(tasks: Sequence[StudyTask]) -> Any:
    """Loss and validation score by epoch; the best and the baseline in colour, other configurations in grey."""
    made, axes = panels(2 * len(tasks), 4.6, 3.0)
    for number, task in enumerate(tasks):
        _curve_panel(axes[2 * number], task, "training loss", lambda record: record.curve.loss, 1)
        score = f"validation {task.measure_name} (points)"
        _curve_panel(axes[2 * number + 1], task, score, lambda record: record.curve.validation, 100)
    return made


def _curve_panel(
    ax: Any,
    task: StudyTask,
    y_label: str,
    of: Callable[[RunRecord], Sequence[tuple[int, float, float]]],
    scale: float,
) -> None:
    colored = told_apart(task)
    greys = 0
    for each in sorted(task.configurations, key=lambda each: each.label in colored):
        points = _by_epoch([of(record) for record in each.runs.values()])
        x, mean = [epoch for epoch, _ in points], [scale * summary.mean for _, summary in points]
        color = colored.get(each.label, FAINT)
        greys += each.label not in colored
        name = shown(each.label) if each.label in colored else "other configurations" if greys == 1 else None
        marker = "o" if len(points) <= 30 else None
        ax.plot(
            x, mean, color=color, marker=marker, linewidth=1.6 if each.label in colored else 0.9, label=name
        )
        if each.label in colored:
            shade(ax, x, mean, [deviation(summary.sd, scale) for _, summary in points], color)
    ax.set_title(shown(task.name))
    ax.set_xlabel("epoch")
    ax.set_ylabel(y_label)
    if ax.get_xlim()[1] >= 2:
        ax.locator_params(axis="x", integer=True)
    if len(task.configurations) > 1:
        ax.legend(loc="best", fontsize=8)


def told_apart(task: StudyTask) -> dict[str, str]:
    """The colour of each configuration that is named in a figure: all of a few, else baseline and best."""
    if len(task.configurations) <= 4:
        named = task.configurations
    else:
        best = task.best(task.splits[0])
        named = [task.baseline(best), best]
    return {each.label: color for each, color in zip(named, COLORS, strict=False)}


def _by_epoch(curves: Sequence[Sequence[tuple[int, float, float]]]) -> list[tuple[float, Summary]]:
    """Mean and deviation over seeds at each epoch that all of them have."""
    values: dict[float, list[float]] = defaultdict(list)
    for curve in curves:
        for _, epoch, value in curve:
            values[epoch].append(value)
    return [
        (epoch, Summary.of(found)) for epoch, found in sorted(values.items()) if len(found) == len(curves)
    ]


def per_type(tasks: Sequence[StudyTask]) -> Any:
    """F1 of each type, most frequent first: the best configuration and its baseline, ± sd over seeds."""
    made, axes = stacked(5.8, [1.1 + 0.3 * max(3, len(_types(task))) for task in tasks])
    for task, ax in zip(tasks, axes, strict=True):
        types = _types(task)
        colored = told_apart(task)
        named = [each for each in task.configurations if each.label in colored]
        for place, each in enumerate(named):
            offset = (place - (len(named) - 1) / 2) * 0.17
            _type_points(ax, task, each, types, offset, colored[each.label])
        ax.set_yticks(range(len(types)), list(map(shown, types)))
        ax.set_ylim(len(types) - 0.5, -0.5)
        ax.set_xlabel(f"{task.splits[-1]} F1 (points)")
        ax.set_title(shown(task.name))
        if len(named) > 1:
            ax.legend(loc="best", fontsize=8)
    return made


def _type_points(
    ax: Any, task: StudyTask, each: Configuration, types: Sequence[str], offset: float, color: str
) -> None:
    scores = [record.scores[task.splits[-1]].get("per_type", {}) for record in each.runs.values()]
    found = {name: [one[name]["f1"] for one in scores if name in one] for name in types}
    known = [(place + offset, Summary.of(found[name])) for place, name in enumerate(types) if found[name]]
    ax.errorbar(
        [100 * summary.mean for _, summary in known], [y for y, _ in known],
        xerr=[deviation(summary.sd, 100) for _, summary in known],
        linestyle="none", marker="o", color=color, capsize=2.5, elinewidth=1.1, label=shown(each.label),
    )  # fmt: skip


def _types(task: StudyTask) -> list[str]:
    """Types of the last split, the one with most support first."""
    support: Counter[str] = Counter()
    for record in task.records():
        for name, values in record.scores[task.splits[-1]].get("per_type", {}).items():
            support[name] = max(support[name], values.get("support", 0))
    return sorted(support, key=lambda name: (-support[name], name))


def has_types(task: StudyTask) -> bool:
    """Whether scores are told by type."""
    return bool(_types(task))


def has_confusion(task: StudyTask) -> bool:
    """Whether the best configuration's predictions were read."""
    return any(task.splits[-1] in record.confusion for record in task.best(task.splits[0]).runs.values())


def confusion(tasks: Sequence[StudyTask]) -> Any:
    """Which type is taken for which, in the best configuration, summed over seeds; rows of gold sum to 1.

    Spans with the same two ends are compared; a gold span without one is missed, a predicted one spurious.
    """
    sizes = [len(_matrix(task)[0]) for task in tasks]
    sides = [2.2 + (0.42 if size <= _MOST_NUMBERED else 0.21) * size for size in sizes]
    made, axes = stacked(max(sides) + 0.8, sides)
    for task, ax in zip(tasks, axes, strict=True):
        _confusion_panel(ax, task)
    return made


def _confusion_panel(ax: Any, task: StudyTask) -> None:
    types, counts, spans = _matrix(task)
    rows = [*types, "(spurious)"] if spans else types
    columns = [*types, "(missed)"] if spans else types
    keys = [*types, ""] if spans else types
    table = [[counts[gold, predicted] for predicted in keys] for gold in keys]
    shares = [[value / max(1, sum(row)) for value in row] for row in table]
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    ax.set_anchor("W")
    ax.grid(False)
    size = 9 if len(types) <= _MOST_NUMBERED else 7
    ax.set_xticks(range(len(columns)), list(map(shown, columns)), rotation=90, fontsize=size)
    ax.set_yticks(range(len(rows)), list(map(shown, rows)), fontsize=size)
    ax.set_xlabel("predicted")
    ax.set_ylabel("gold")
    best = task.best(task.splits[0])
    seeds = f", {len(best.runs)} seeds" if len(best.runs) > 1 else ""
    ax.set_title(f"{shown(task.name)}\n{shown(best.label)}, {task.splits[-1]}{seeds}")
    if len(types) <= _MOST_NUMBERED:
        for y, row in enumerate(table):
            for x, value in enumerate(row):
                ink = "white" if shares[y][x] > 0.6 else "#1C1E21"
                ax.text(
                    x, y, f"{value:,}" if value else "", ha="center", va="center", fontsize=7.5, color=ink
                )


def _matrix(task: StudyTask) -> tuple[list[str], Counter[tuple[str, str]], bool]:
    """Types, how often each is taken for which, and whether spans (or plain tags) were counted."""
    counts: Counter[tuple[str, str]] = Counter()
    best = task.best(task.splits[0])
    for record in best.runs.values():
        for gold, predicted, count in record.confusion.get(task.splits[-1], ()):
            counts[gold, predicted] += count
    types = [name for name in _types(task) if any(name in pair for pair in counts)]
    types += sorted({name for pair in counts for name in pair} - {""} - set(types))
    return types, counts, task.measure == "f1"


def has_cost(task: StudyTask) -> bool:
    """Whether there are several configurations, and it is known how long they took."""
    return len(task.configurations) > 1 and all(
        each.cost("seconds") is not None for each in task.configurations
    )


def cost(tasks: Sequence[StudyTask]) -> Any:
    """Score against seconds of training; the line joins those that nothing quicker betters."""
    made, axes = panels(len(tasks), 5.2, 3.5)
    for task, ax in zip(tasks, axes, strict=True):
        split = task.splits[-1]
        known = sorted(
            ((each.cost("seconds") or 0.0, 100 * each.mean(split), each) for each in task.configurations),
            key=lambda point: (point[0], -point[1]),
        )
        front = _front([(x, y) for x, y, _ in known])
        ax.plot([x for x, _, _ in known], [y for _, y, _ in known], "o", color=COLORS[0])
        ax.step(*zip(*front, strict=True), where="post", color=COLORS[1], linewidth=1.1, zorder=1)
        named = {(x, y) for x, y in front}
        for x, y, each in known:
            if (x, y) in named or each.label in told_apart(task):
                ax.annotate(
                    shown(each.label), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7.5
                )
        ax.set_xlabel("seconds of training, mean over seeds")
        ax.set_ylabel(f"{split} {task.measure_name} (points)")
        ax.set_title(shown(task.name))
        ax.margins(x=0.14, y=0.14)
    return made


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points sorted by x, those that are higher than all before them."""
    front: list[tuple[float, float]] = []
    for point in points:
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front
