"""Who is told how a run goes. The pipelines report; the command line shows; nothing else prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from .files import atomic


class Progress(Protocol):
    """Hears what happens in a run."""

    def note(self, message: str) -> None:
        """Something a person should know: what was read, repaired, left out, substituted."""

    def started(self, steps: int, done: int) -> None:
        """Training begins, or goes on after `done` of `steps` updates."""

    def step(self, done: int, words: int) -> None:
        """One more update is done; `words` were trained on so far in this call."""

    def logged(self, values: dict[str, Any]) -> None:
        """Loss and learning rate, or scores (`eval_…`), at `step`."""

    def labelled(self, sentences: int) -> None:
        """So many more sentences have been labelled."""


class Silent:
    """Shows nothing."""

    def note(self, message: str) -> None:
        """Ignored."""

    def started(self, steps: int, done: int) -> None:
        """Ignored."""

    def step(self, done: int, words: int) -> None:
        """Ignored."""

    def logged(self, values: dict[str, Any]) -> None:
        """Ignored."""

    def labelled(self, sentences: int) -> None:
        """Ignored."""


class Logged:
    """Writes what is logged to `log.jsonl`, a line each, and passes everything on.

    Where a run goes on after update `done`, the lines after it are dropped: those updates are done again.
    """

    def __init__(self, inner: Progress, path: Path) -> None:
        self.inner = inner
        self.path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if not text.endswith("\n"):  # a kill cut the last line short
            atomic.write_text(path, text[: text.rfind("\n") + 1])

    def note(self, message: str) -> None:
        """Write the note, and pass it on."""
        self._append({"note": message})
        self.inner.note(message)

    def started(self, steps: int, done: int) -> None:
        """Drop the lines of updates that will be done again."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line).get("step", 0) <= done]
            atomic.write_text(self.path, "".join(f"{line}\n" for line in kept))
        self.inner.started(steps, done)

    def step(self, done: int, words: int) -> None:
        """Pass it on."""
        self.inner.step(done, words)

    def logged(self, values: dict[str, Any]) -> None:
        """Write the values, and pass them on."""
        self._append(values)
        self.inner.logged(values)

    def labelled(self, sentences: int) -> None:
        """Pass it on."""
        self.inner.labelled(sentences)

    def _append(self, values: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
