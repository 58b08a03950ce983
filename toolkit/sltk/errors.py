"""Exceptions of sltk, and problems with positions.

    SltkError                      exit code 1
    ├── RunError                   a run failed: a loss that is not a number, …
    │   ├── DiskFullError          there is no space to write; also an OSError
    │   └── PeerError              another process of the run failed; has its exit code
    └── InputError                 exit code 2: the input is wrong
        ├── SpecError              in a spec, or in a `--set`
        │   └── InvalidSpecError   a spec that does not validate
        ├── DataError              in a data file
        ├── ModelError             in a model name or a model directory, or an unsupported model
        └── UsageError             on the command line, or in a run directory

An `InputError` has one or more `Problem`s, so that all problems are reported together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A position in a file; lines and columns count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: what is wrong, where, and what is expected."""

    message: str
    location: Location | None = None
    path: str | None = None
    """Dotted path of the key in a spec: `data.train`."""
    source_line: str | None = None
    """The line at the location; it is shown with carets under `width` characters."""
    width: int = 1
    suggestion: str | None = None
    """The nearest valid name."""
    notes: tuple[str, ...] = ()
    at_key: bool = False
    """Whether the last key of the path is wrong, not its value: the position is that of the key."""

    def __str__(self) -> str:
        lines = [f"error: {shorten(self.message)}"]
        if self.location is not None or self.path:
            where = str(self.location) if self.location else "(spec)"
            lines.append(f"  --> {where}" + (f"   ({self.path})" if self.path else ""))
        if self.source_line is not None and self.location is not None and self.location.line:
            lines += self._excerpt(self.location.line, self.location.column or 1)
        elif self.suggestion:
            lines.append(f"   = did you mean `{self.suggestion}`?")
        lines += [f"   = {shorten(note)}" for note in self.notes]
        return "\n".join(lines)

    def _excerpt(self, line: int, column: int) -> list[str]:
        gutter = " " * len(str(line))
        hint = f" did you mean `{self.suggestion}`?" if self.suggestion else ""
        source, start, width = _part_of_line(self.source_line or "", column - 1, max(1, self.width))
        caret = " " * start + "^" * width + hint
        return [f" {gutter} |", f" {line} | {source}", f" {gutter} | {caret}"]


_LONGEST_LINE = 200


def _part_of_line(line: str, start: int, width: int) -> tuple[str, int, int]:
    """The part of a very long line around a position, and start and width of the position in it."""
    if len(line) <= _LONGEST_LINE:
        return line, start, width
    first = max(0, start - _LONGEST_LINE // 4)
    part = line[first : first + _LONGEST_LINE]
    before, after = "…" * (first > 0), "…" * (first + len(part) < len(line))
    start += len(before) - first
    return before + part + after, start, max(1, min(width, len(before + part) - start))


def shorten(message: str) -> str:
    """A message, shortened in the middle if what it quotes is very long."""
    return message if len(message) <= 2000 else f"{message[:1000]} … {message[-200:]}"


class SltkError(Exception):
    """Base class of the exceptions of sltk."""

    exit_code = 1


class RunError(SltkError):
    """A run failed, although its input is valid."""


class DiskFullError(RunError, OSError):
    """The disk is full, a quota is used up, or a file is too large; `errno` says which."""

    errno: int

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.errno = code


class PeerError(RunError):
    """Another process of the run failed, and reports why; `exit_code` is that of its error, `host` its machine."""

    def __init__(self, message: str, exit_code: int = 1, host: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.host = host


class OutOfMemoryError(RunError):
    """The memory of the machine or of its accelerator is too small for what was being done."""


class InputError(SltkError):
    """The input is wrong; `problems` holds all problems."""

    exit_code = 2

    def __init__(self, problems: str | Problem | Sequence[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n\n".join(str(problem) for problem in self.problems))


class SpecError(InputError):
    """A spec or a `--set` is wrong."""


class InvalidSpecError(SpecError):
    """A spec that does not validate: nothing was read, downloaded or trained."""


class DataError(InputError):
    """A data file is missing or malformed."""

    @classmethod
    def at(
        cls,
        message: str,
        file: object,
        line: int | None = None,
        *notes: str,
        suggestion: str | None = None,
    ) -> DataError:
        """A data error at a line of a file."""
        return cls(Problem(message, Location(str(file), line), suggestion=suggestion, notes=notes))


class ModelError(InputError):
    """A model is not available, or does not support what is requested."""


class UsageError(InputError):
    """The command line, or a run directory named on it, is wrong."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, if it is close enough to be a typing error."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
