"""Style and layout of all figures, and writing them so that the same runs give the same bytes.

Colours can be told apart by colour-blind readers. No global state of matplotlib is changed, and no display is used.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..files.safety import printable
from ..runtime.optional_imports import import_optional
from .study import Summary

# Okabe and Ito (2008), without yellow, which is too faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FAINT = "#B8BCC2"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DPI = 200
_LONGEST = 32
"""Longer names are cut to this many characters, to leave room for the figure."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E6E9",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # names of types and runs are plain text, even with dollar signs
    "svg.hashsalt": "sltk",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}
}  # fmt: skip
"""Formats, each with the metadata to omit because it is not reproducible."""


Item = TypeVar("Item")
Points = Mapping[int, Summary] | Mapping[float, Summary]
"""Scores by their position on the other axis."""


@contextmanager
def style() -> Iterator[None]:
    """The style of figures; draw and save inside.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib = import_optional("matplotlib", "a figure", "report")
    # Its font finder logs to standard error, where commands report their own progress.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def shown(name: str) -> str:
    """A name as figures show it: without control characters, and not too long."""
    clean = printable(name)
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST - 1]}…"


def panels(width: float, heights: Sequence[float], columns: int = 2) -> tuple[Any, list[Any]]:
    """A figure with axes of this width and these heights in inches, in up to `columns` columns."""
    from matplotlib.figure import Figure

    across = min(columns, len(heights))
    rows = [max(heights[start : start + across]) for start in range(0, len(heights), across)]
    figure = Figure(figsize=(width * across, sum(rows)), dpi=_DPI, layout="constrained")
    grid = figure.add_gridspec(len(rows), across, height_ratios=rows)
    return figure, [figure.add_subplot(grid[place]) for place in range(len(heights))]


def draw_panels(
    draw: Callable[[Any, Item], None],
    items: Sequence[Item],
    width: float,
    heights: Sequence[float],
    columns: int = 2,
) -> Any:
    """A figure with a panel for each item, drawn by `draw(axes, item)`; sizes as for `panels`."""
    figure, axes = panels(width, heights, columns)
    for ax, item in zip(axes, items, strict=True):
        draw(ax, item)
    return figure


def plot_means(ax: Any, points: Points, *, scale: float = 100, shaded: bool = True, **look: Any) -> None:
    """Plot means against x, with ± one standard deviation shaded; one seed has no deviation and leaves a gap."""
    x, summaries = list(points), list(points.values())
    ax.plot(x, [scale * each.mean for each in summaries], **look)
    if shaded:
        low = [scale * each.mean - scale * each.sd for each in summaries]
        high = [scale * each.mean + scale * each.sd for each in summaries]
        ax.fill_between(x, low, high, color=look["color"], alpha=0.16, linewidth=0)


def error_bars(ax: Any, points: Points, *, horizontal: bool = False, **look: Any) -> None:
    """Draw means of fractions in points, with bars of one standard deviation."""
    position, mean = list(points), [100 * each.mean for each in points.values()]
    sd = [100 * each.sd for each in points.values()]
    places = {"x": mean, "y": position, "xerr": sd} if horizontal else {"x": position, "y": mean, "yerr": sd}
    ax.errorbar(**places, linestyle="none", **look)


def save(figure: Any, folder: Path, name: str) -> None:
    """Write a figure as PNG, SVG and PDF, without dates, so that the same runs give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # scripts that the font lacks are drawn as boxes
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the same layout in all formats
        for ax in figure.axes:  # whose rounding errors vary between runs
            ax.set_position([round(side, 6) for side in ax.get_position(original=True).bounds])
        for extension, metadata in _FORMATS.items():
            figure.savefig(folder / f"{name}.{extension}", format=extension, metadata=metadata)
