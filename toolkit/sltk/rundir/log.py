"""`log.jsonl`: everything that a run logs, one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..files import atomic
from ..runtime.progress import Progress


class LoggedProgress(Progress):
    """Writes notes and logged values to `log.jsonl` and passes everything on.

    When a run resumes after update `done`, later lines are dropped: those updates are repeated.
    """

    def __init__(self, inner: Progress, path: Path) -> None:
        self.inner, self.path = inner, path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if not text.endswith("\n"):  # a killed process may have left an incomplete last line
            atomic.write_text(path, text[: text.rfind("\n") + 1])

    def note(self, message: str) -> None:
        """Write the note and pass it on."""
        self._append({"note": message})
        self.inner.note(message)

    def started(self, steps: int, done: int) -> None:
        """Drop the lines of updates that will be repeated."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            remaining = [line for line in lines if json.loads(line).get("step", 0) <= done]
            atomic.write_text(self.path, "".join(f"{line}\n" for line in remaining))
        self.inner.started(steps, done)

    def step(self, done: int, words: int) -> None:
        """Pass the update on."""
        self.inner.step(done, words)

    def logged(self, values: dict[str, Any]) -> None:
        """Write the values and pass them on."""
        self._append(values)
        self.inner.logged(values)

    def labelled(self, sentences: int) -> None:
        """Pass the count on."""
        self.inner.labelled(sentences)

    def _append(self, values: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
