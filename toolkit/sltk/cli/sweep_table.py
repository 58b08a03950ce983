"""What a person sees of a sweep: a live table on a terminal, else a line for each run that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..preview.estimate import size_text
from ..sweeps.status import Watcher

if TYPE_CHECKING:
    from ..sweeps import Row, Running, Status

_SECONDS_BETWEEN = 0.5
_STATES = ("done", "running", "waiting", "failed", "damaged")


class Shown(Watcher):
    """Watches a sweep on standard error."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._last = 0.0

    def __enter__(self) -> Shown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, message: str) -> None:
        """One dim line."""
        self.console.print(Text(message, style="dim"), soft_wrap=True)

    def lines(self, status: Status) -> Iterator[str]:
        """What is said of the whole."""
        return summary(status)

    def began(self, status: Status) -> None:
        """The plan in a few lines; then the table, where there is a terminal."""
        for line in self.lines(status):
            self.console.print(line, soft_wrap=True, markup=False)
        if self.console.is_terminal and status.count("waiting"):
            self._live = Live(
                _table(status, self.lines(status)), console=self.console, transient=True, auto_refresh=False
            )
            self._live.start()

    def ended(self, row: Row, status: Status) -> None:
        """A line a run."""
        finished = status.count("done") + status.count("failed")
        place = f"{finished}/{len(status.rows)}"
        left = f", {time_text(status.seconds_left)} left" if status.seconds_left else ""
        self.console.print(f"{place}  {told_run(row)}{left}", soft_wrap=True, markup=False)

    def show(self, status: Status) -> None:
        """Bring the table up to date, now and then."""
        now = time.monotonic()
        if self._live is not None and now - self._last >= _SECONDS_BETWEEN:
            self._last = now
            self._live.update(_table(status, self.lines(status)), refresh=True)


def summary(status: Status) -> Iterator[str]:
    """How many runs are in each state, the best so far, and what the rest will take."""
    counts = ", ".join(f"{count} {state}" for state in _STATES if (count := status.count(state)))
    yield f"{len(status.rows)} runs: {counts}"
    if status.best is not None:
        yield f"best so far: {told_run(status.best)}"
    if status.count("waiting"):
        yield f"left: {_left(status)}"


def _left(status: Status) -> str:
    if status.seconds_left is None or status.bytes_left is None:
        return "time and disk are not known before the first run is finished"
    each = f"{time_text(status.seconds_per_run)} and {size_text(status.bytes_per_run or 0)} a run"
    return f"about {time_text(status.seconds_left)} and {size_text(status.bytes_left)} of disk, at {each}"


def told_run(row: Row) -> str:
    """One run on a line: its name, and its scores or what went wrong."""
    if row.state != "done":
        first = (row.reason or row.state).splitlines()[0]
        return f"{row.name}: {first}"
    scores = (("validation", row.validation), ("test", row.test))
    shown = "  ".join(f"{split} {value:.4f}" for split, value in scores if value is not None)
    return f"{row.name}: {shown}  ({time_text(row.seconds)})"


def _table(status: Status, lines: Iterator[str]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, justify in (
        ("running", "left"),
        ("update", "right"),
        ("loss", "right"),
        ("F1", "right"),
        ("", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for run in status.running:
        table.add_row(Text(run.name), *_cells(run))
    return Group(table, Text("\n".join(lines), style="dim"))


def _cells(run: Running) -> tuple[str, ...]:
    steps = f"{run.done}/{run.steps}" if run.activity == "training" else run.activity
    loss, score = (("" if value is None else f"{value:.4f}") for value in (run.loss, run.score))
    return steps, loss, score, time_text(run.seconds)


def time_text(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    if seconds is None:
        return "?"
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
