"""What `sltk check` does with a spec of any kind: the same few steps. A kind of spec is a class with them.

    load → what it imports → check → files that are missing → with `--data`: audit → report or show

The table of kinds is in spec_commands.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import Problem

S = TypeVar("S")


@dataclass(frozen=True)
class Audited:
    """What the data is like: what a person should look at, keys of the report, and how it is shown."""

    warnings: Sequence[Problem] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    show: Callable[[], None] = lambda: None


class SpecKind(ABC, Generic[S]):
    """A kind of spec; `S` is what a spec of it is loaded as. All errors are `InputError`s."""

    @abstractmethod
    def load(self, spec: Path, overrides: Sequence[str]) -> S:
        """Read and validate it."""

    @abstractmethod
    def imported(self, loaded: S) -> Iterable[Path]:
        """The files of `imports:` that were run."""

    @abstractmethod
    def check(self, loaded: S) -> None:
        """See what more can be known without data."""

    @abstractmethod
    def missing_files(self, loaded: S) -> list[Problem]:
        """A problem for each file that is not there."""

    @abstractmethod
    def audit(self, loaded: S) -> Audited:
        """Read the data; none of it is missing."""

    @abstractmethod
    def report(self, loaded: S) -> dict[str, Any]:
        """What `--json` says of it."""

    @abstractmethod
    def show(self, loaded: S) -> None:
        """What it would do, in a few lines."""
