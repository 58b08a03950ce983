"""What all figures share: one style, colours that colour-blind readers tell apart, files that repeat bit for bit.

No global state of matplotlib is used, and no screen.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files.safety import harmless

# Okabe and Ito (2008), without yellow, which is too faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FAINT = "#B8BCC2"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DPI = 200
_LONGEST = 32
"""Characters of a name in a figure; longer ones are cut, or no room would be left to draw in."""
FORMATS = ("png", "svg", "pdf")

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
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # names of types and runs are text, whatever is in them
    "svg.hashsalt": "sltk",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
_NO_DATES: dict[str, dict[str, Any]] = {
    "png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}
}  # fmt: skip


@contextmanager
def style() -> Iterator[None]:
    """The style of figures; draw and save inside.

    Raises:
        UsageError: matplotlib is not installed.
    """
    import logging

    matplotlib = _matplotlib()
    # Its font finder writes to standard error, where a command says what it did.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, whose parts are kept from overlapping."""
    _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(made)
    return made


def shown(name: str) -> str:
    """A name as a figure shows it: without control characters, and not too long."""
    clean = harmless(name)
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST - 1]}…"


def panels(count: int, width: float, height: float, columns: int = 2) -> tuple[Any, list[Any]]:
    """A figure of `count` axes, so many side by side; each of so many inches."""
    across = min(columns, count)
    down = -(-count // across)
    made = figure(width * across, height * down)
    return made, [made.add_subplot(down, across, place + 1) for place in range(count)]


def stacked(width: float, heights: Sequence[float]) -> tuple[Any, list[Any]]:
    """A figure of axes one below the other, each as high as it needs."""
    made = figure(width, sum(heights))
    grid = made.add_gridspec(len(heights), 1, height_ratios=heights)
    return made, [made.add_subplot(grid[place, 0]) for place in range(len(heights))]


def save(made: Any, folder: Path, name: str) -> None:
    """Write a figure as PNG, SVG and PDF, without dates, so that the same runs give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a script that the font lacks shows as boxes
        made.draw_without_rendering()
        made.set_layout_engine("none")  # laid out once, the same in all forms
        for form in FORMATS:
            made.savefig(folder / f"{name}.{form}", format=form, metadata=_NO_DATES[form])


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError("figures need the package `matplotlib`: pip install 'sltk[report]'") from error
    return matplotlib
