"""Progress of sweeps and searches: a live table on a terminal, otherwise one line per finished run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from ..preview.estimate import size_text
from ..sweeps.status import Watcher
from .rich_console import SafeConsole, shown

if TYPE_CHECKING:
    from ..search import Search, SearchPlan
    from ..sweeps import Row, Running, Status

_SECONDS_BETWEEN = 0.5
_STATES = ("done", "running", "waiting", "failed", "damaged")


class SweepDisplay(Watcher):
    """Shows a sweep on standard error."""

    def __init__(self) -> None:
        self.console = SafeConsole(is_error=True)
        self._live: Live | None = None
        self._last = 0.0

    def __enter__(self) -> SweepDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, message: str) -> None:
        """Print one dim line."""
        self.console.print(shown(message, "dim"), soft_wrap=True)

    def lines(self, status: Status) -> Iterator[str]:
        """The summary of all runs."""
        return status_lines(status)

    def began(self, status: Status) -> None:
        """Print the summary; on a terminal, open the live table."""
        for line in self.lines(status):
            self.console.print(shown(line), soft_wrap=True)
        if self.console.is_interactive and status.count("waiting"):
            self._live = Live(
                _table(status, self.lines(status)), console=self.console, transient=True, auto_refresh=False,
                redirect_stdout=False,
            )  # fmt: skip
            self._live.start()

    def ended(self, row: Row, status: Status) -> None:
        """Print one line per finished run."""
        finished = status.count("done") + status.count("failed")
        left = f", {time_text(status.seconds_left)} left" if status.seconds_left else ""
        line = f"{finished}/{len(status.rows)}  {run_text(row)}{left}"
        self.console.print(shown(line), soft_wrap=True)

    def show(self, status: Status) -> None:
        """Update the live table, at most every half second."""
        now = time.monotonic()
        if self._live is not None and now - self._last >= _SECONDS_BETWEEN:
            self._last = now
            self._live.update(_table(status, self.lines(status)), refresh=True)


class SearchDisplay(SweepDisplay):
    """Shows a search on standard error."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.space = search.space

    def lines(self, status: Status) -> Iterator[str]:
        """The budget spent, and the best mask so far."""
        space = self.space
        budget = f"{space.spent:.1f} of {space.budget:.1f} full runs requested"
        yield f"{len(space.masks)} masks: {len(space.finished)} trained; {budget}"
        if space.best is not None:
            yield f"best so far: {space.best}, validation {space.finished[space.best]:.4f}"

    def ended(self, row: Row, status: Status) -> None:
        """Print one line per finished piece of work."""
        scores = f"validation {row.validation:.4f}" if row.state == "done" else row.reason or "resumes later"
        first = {
            ".shared": "shared run, all masks scored",
            ".sigmoid": "mask learned",
            ".gumbel": "mask learned",
        }
        work = (
            first.get(row.name, f"{row.name}: {scores}") if row.state == "done" else f"{row.name}: {scores}"
        )
        spent = f"{self.space.spent / len(self.space.masks):.1%} requested"
        line = f"{spent}  {work.splitlines()[0]}  ({time_text(row.seconds)} in total)"
        self.console.print(shown(line), soft_wrap=True)


def status_lines(status: Status) -> Iterator[str]:
    """The number of runs in each state, the best run so far, and the time and disk space that the rest will take."""
    counts = ", ".join(f"{count} {state}" for state in _STATES if (count := status.count(state)))
    yield f"{len(status.rows)} runs: {counts}"
    if status.best is not None:
        yield f"best so far: {run_text(status.best)}"
    if status.count("waiting"):
        yield f"left: {_left(status)}"


def _left(status: Status) -> str:
    if status.seconds_left is None or status.bytes_left is None:
        return "time and disk space are unknown until the first run is finished"
    each = f"{time_text(status.seconds_per_run)} and {size_text(status.bytes_per_run or 0)} per run"
    return f"about {time_text(status.seconds_left)} and {size_text(status.bytes_left)} of disk, at {each}"


def run_text(row: Row) -> str:
    """One run on one line: its name, and its scores or the reason why it has none."""
    if row.state != "done":
        return f"{row.name}: {(row.reason or row.state).splitlines()[0]}"
    scores = (("validation", row.validation), ("test", row.test))
    shown = "  ".join(f"{split} {value:.4f}" for split, value in scores if value is not None)
    return f"{row.name}: {shown}  ({time_text(row.seconds)})"


def _table(status: Status, lines: Iterator[str]) -> RenderableType:
    table = Table("running", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("update", "loss", "F1", ""):
        table.add_column(name, justify="right")
    for run in status.running:
        table.add_row(*map(shown, (run.name, *_cells(run))))
    return Group(table, *(shown(line, "dim") for line in lines))


def _cells(run: Running) -> tuple[str, ...]:
    steps = f"{run.done}/{run.steps}" if run.activity == "training" else run.activity
    loss, score = ("" if value is None else f"{value:.4f}" for value in (run.loss, run.score))
    return steps, loss, score, time_text(run.seconds)


def time_text(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`; `?` if unknown."""
    if seconds is None:
        return "?"
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def search_lines(plan: SearchPlan) -> Iterator[str]:
    """The masks, the strategy and the budget of a search."""
    count, budget = len(plan.runs), plan.settings.budget
    yield f"{count} masks, strategy {plan.settings.strategy}, budget {budget:.0%}: {count * budget:.1f} full runs"
    if len(plan.seeds) > 1:
        yield f"the sweep has {len(plan.seeds)} seeds; the search uses seed {plan.seeds[0]}"
