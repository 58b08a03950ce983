"""Progress of a run on a terminal: a bar with loss, words per second and time left, and notes above it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from ..runtime.progress import Progress
from .rich_console import SafeConsole, shown

_SCORES = ("precision", "recall", "f1", "accuracy", "loss", "perplexity")


class ProgressBar(Progress):
    """Shows progress on standard error; without a terminal that can move its cursor, only notes and scores."""

    def __init__(self) -> None:
        self.console = SafeConsole(is_error=True)
        self._bar: RichProgress | None = None
        self._task: Any = None
        self._start_time = 0.0
        self._loss = ""
        self._work = "labelling"

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._close()

    def note(self, message: str) -> None:
        """Print one dim line; a note on new work closes the bar of the work before."""
        if message.startswith("scoring"):
            self._close()
            self._work = message
        self.console.print(shown(message, "dim"), soft_wrap=True)

    def started(self, steps: int, done: int) -> None:
        """Open the training bar."""
        self._close()
        self._start_time = time.monotonic()
        columns = (
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._open(*columns, total=steps, completed=done, state="")

    def step(self, done: int, words: int) -> None:
        """Advance the training bar."""
        if self._bar is not None:
            rate = words / max(1e-9, time.monotonic() - self._start_time)
            self._bar.update(self._task, completed=done, state=f"{self._loss}{rate:,.0f} words/s")

    def logged(self, values: dict[str, Any]) -> None:
        """Show the loss in the bar; print validation scores."""
        if "loss" in values:
            self._loss = f"loss {values['loss']:.4f}  "
        if "eval_score" in values:
            scores = "  ".join(
                f"{name} {values[f'eval_{name}']:.4f}" for name in _SCORES if f"eval_{name}" in values
            )
            epoch = f"epoch {values.get('epoch', 0):g}"
            self.console.print(f"{epoch}  validation  {scores}", soft_wrap=True)

    def labelled(self, sentences: int) -> None:
        """Advance the counter of labelled sentences."""
        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                TextColumn("{task.completed:,} sentences"),
            )
            self._open(*columns, description=self._work, total=None)
        assert self._bar is not None
        self._bar.advance(self._task, sentences)

    def _open(self, *columns: ProgressColumn, description: str = "", **task: Any) -> None:
        self._bar = RichProgress(
            SpinnerColumn(), *columns, console=self.console, transient=True, redirect_stdout=False
        )
        self._task = self._bar.add_task(description, **task)
        if self.console.is_interactive:
            self._bar.start()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
