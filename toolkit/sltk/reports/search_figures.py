"""Figures of searches over values of keys: the scores in the order of trials, the importance of keys, and slices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from .plotting import COLORS, FAINT, draw_panels, shown
from .search_results import SearchRecord, SearchTrial

_DONE, _BEST, _STOPPED = COLORS[0], COLORS[1], FAINT
_JITTER = 0.12


def history(searches: Sequence[SearchRecord]) -> Any:
    """The score of each trial in the order of trials, and the best so far."""
    return draw_panels(_history_panel, searches, 5.6, [3.4] * len(searches))


def _history_panel(ax: Any, search: SearchRecord) -> None:
    _scatter(ax, search, [float(place) for place in range(len(search.trials))])
    places = [place for place, trial in enumerate(search.trials) if trial.state == "done"]
    best = accumulate((100 * (search.trials[place].validation or 0.0) for place in places), max)
    if places:
        ends = [*places, len(search.trials) - 1]
        heights = list(best)
        ax.step(ends, [*heights, heights[-1]], where="post", color=_BEST, label="best so far", zorder=1)
    ax.set(title=shown(search.name), xlabel="trial", ylabel=_score_label(search))
    ax.locator_params(axis="x", integer=True)
    ax.legend(loc="best")


def _score_label(search: SearchRecord) -> str:
    return f"validation {'micro F1' if search.measure == 'F1' else 'accuracy'} (points)"


def _scatter(ax: Any, search: SearchRecord, places: Sequence[float]) -> None:
    """One point per trial that has a score, finished ones above those that were stopped early."""
    for state, look in (
        ("pruned", {"color": _STOPPED, "marker": "x", "label": "stopped early", "zorder": 2}),
        ("done", {"color": _DONE, "marker": "o", "label": "finished", "zorder": 3}),
    ):
        chosen = [
            (place, trial)
            for place, trial in zip(places, search.trials, strict=True)
            if trial.state == state and trial.score is not None
        ]
        if chosen:
            scores = [100 * (trial.score or 0.0) for _, trial in chosen]
            ax.plot([place for place, _ in chosen], scores, linestyle="none", **look)


def importances(searches: Sequence[SearchRecord]) -> Any:
    """The share of each key in the variance of the scores, most important first."""
    drawable = [each for each in searches if each.importance]
    heights = [1.0 + 0.34 * max(2, len(each.importance)) for each in drawable]
    return draw_panels(_importance_panel, drawable, 5.2, heights)


def _importance_panel(ax: Any, search: SearchRecord) -> None:
    names = list(search.importance)
    shares = [100 * share for share in search.importance.values()]
    ax.barh(range(len(names)), shares, color=_DONE, height=0.6)
    for place, share in enumerate(shares):
        ax.annotate(f"{share:.0f}", (share, place), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(names)), [shown(search.short(name)) for name in names])
    ax.set(
        title=shown(search.name), xlabel="importance (percent)",
        xlim=(0, max(shares, default=1) * 1.12), ylim=(len(names) - 0.5, -0.5),
    )  # fmt: skip
    ax.grid(False, axis="y")


def slices(searches: Sequence[SearchRecord]) -> Any:
    """The score of each trial by the value of each key."""
    panels = [(search, key) for search in searches for key in search.space]
    return draw_panels(_slice_panel, panels, 3.6, [2.9] * len(panels), columns=3)


def _slice_panel(ax: Any, panel: tuple[SearchRecord, str]) -> None:
    search, key = panel
    if search.is_numeric(key):
        places = [float(trial.parameters[key]) for trial in search.trials]
        if search.kind(key) == "log_uniform":
            _log_axis(ax, [float(bound) for bound in search.space[key]["log_uniform"]])
    else:
        choices = [str(choice) for choice in search.space[key]["choice"]]
        places = [
            _spread(choices.index(str(trial.parameters[key])), search.trials, trial)
            for trial in search.trials
        ]
        ax.set_xticks(range(len(choices)), [shown(choice) for choice in choices])
        ax.set_xlim(-0.5, len(choices) - 0.5)
    _scatter(ax, search, places)
    best = next((place for place, trial in enumerate(search.trials) if trial.name == search.best), None)
    if best is not None:
        score = 100 * (search.trials[best].score or 0.0)
        ax.plot([places[best]], [score], color=_BEST, marker="o", linestyle="none", label="best", zorder=4)
    ax.set(title=shown(search.short(key)), ylabel=_score_label(search) if panel_is_first(panel) else "")


def _log_axis(ax: Any, bounds: Sequence[float]) -> None:
    """A logarithmic axis over the range, with numbers such as 0.001."""
    from matplotlib import ticker

    ax.set_xscale("log")
    ax.set_xlim(bounds[0] / 1.15, bounds[1] * 1.15)
    ax.xaxis.set_major_locator(
        ticker.LogLocator(subs=(1.0,) if bounds[1] / bounds[0] >= 100 else (1.0, 2.0, 5.0))
    )
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())


def panel_is_first(panel: tuple[SearchRecord, str]) -> bool:
    """Whether a panel is the first of its search, which has the label of the scores."""
    search, key = panel
    return next(iter(search.space)) == key


def _spread(place: int, trials: Sequence[SearchTrial], trial: SearchTrial) -> float:
    """Trials with the same choice next to each other, in their order."""
    share = trials.index(trial) / max(1, len(trials) - 1)
    return place + _JITTER * (2 * share - 1)
