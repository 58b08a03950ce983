"""`log.jsonl`: everything that a run logs, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import atomic
from ..files.damage import open_regular
from ..runtime.progress import Progress


class LoggedProgress(Progress):
    """Writes notes and logged values to `log.jsonl` and passes everything on.

    When a run resumes after update `done`, later lines are dropped: those updates are repeated.
    """

    def __init__(self, inner: Progress, path: Path) -> None:
        self.inner, self.path = inner, path
        lines, damaged_lines = read_log(path)
        if damaged_lines:
            copy = path.with_name(f"{path.name}.damaged")
            path.replace(copy)
            inner.note(
                f"{path}:{damaged_lines[0]} is damaged; the lines that can be read stay, and {copy} has all"
            )
        # A killed process may have left an incomplete last line.
        if damaged_lines or (path.exists() and not path.read_bytes().endswith(b"\n")):
            self._write(lines)

    def note(self, message: str) -> None:
        """Write the note and pass it on."""
        self._append({"note": message})
        self.inner.note(message)

    def started(self, steps: int, done: int) -> None:
        """Drop the lines of updates that will be repeated."""
        if self.path.exists():
            self._write(values for values in read_log(self.path)[0] if values.get("step", 0) <= done)
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

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        atomic.write_text(self.path, "".join(map(_line, lines)))

    def _append(self, values: dict[str, Any]) -> None:
        with open(atomic.append(self.path), "a", encoding="utf-8") as file:
            file.write(_line(values))


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def read_log(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The complete lines of a log, and the numbers of those that are damaged; an incomplete last line is neither.

    Raises:
        UsageError: something else is in the place of the file.
    """
    try:
        with open_regular(path) as file:
            raw = file.read()
    except FileNotFoundError:
        return [], []
    lines: list[dict[str, Any]] = []
    damaged_lines: list[int] = []
    for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict) and isinstance(values.get("step", 0), int):
            lines.append(values)
        else:
            damaged_lines.append(number)
    return lines, damaged_lines
