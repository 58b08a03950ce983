"""What a person sees while a run goes: a bar with loss, words a second and time left; notes above it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.text import Text

from ..runtime.progress import Progress


class Shown(Progress):
    """Shows progress on standard error; where that is no terminal, only notes and scores, a line each."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: ProgressBar | None = None
        self._task: Any = None
        self._begun = 0.0
        self._loss = ""
        self._labelled = 0
        self._what = "labelling"

    def __enter__(self) -> Shown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._close()

    def note(self, message: str) -> None:
        """One dim line; a new piece of work ends the bar of the one before."""
        if message.startswith("scoring"):
            self._close()
            self._what = message
        self.console.print(Text(message, style="dim"), soft_wrap=True)

    def started(self, steps: int, done: int) -> None:
        """Open the training bar."""
        self._close()
        self._begun = time.monotonic()
        self._bar = ProgressBar(
            SpinnerColumn(), TextColumn("training"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"), TimeRemainingColumn(), console=self.console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=steps, completed=done, state="")
        self._open(self._bar)

    def step(self, done: int, words: int) -> None:
        """Move the training bar."""
        if self._bar is not None:
            rate = words / max(1e-9, time.monotonic() - self._begun)
            self._bar.update(self._task, completed=done, state=f"{self._loss}{rate:,.0f} words/s")

    def logged(self, values: dict[str, Any]) -> None:
        """Keep the loss for the bar; print validation scores."""
        if "loss" in values:
            self._loss = f"loss {values['loss']:.4f}  "
        if "eval_score" in values:
            scores = "  ".join(
                f"{name} {values[f'eval_{name}']:.4f}"
                for name in ("precision", "recall", "f1", "accuracy", "loss", "perplexity")
                if f"eval_{name}" in values
            )
            self.console.print(
                f"epoch {values.get('epoch', 0):g}  validation  {scores}", highlight=False, soft_wrap=True
            )

    def labelled(self, sentences: int) -> None:
        """Move the counter of labelled sentences."""
        self._labelled += sentences
        if self._bar is None:
            self._bar = ProgressBar(
                SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} sentences"),
                console=self.console, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task(self._what, total=None)
            self._open(self._bar)
        self._bar.advance(self._task, sentences)

    def _open(self, bar: ProgressBar) -> None:
        if self.console.is_terminal:
            bar.start()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None


def shown() -> Shown:
    """Progress on standard error."""
    return Shown(Console(stderr=True))
