"""Counts of annotation that was left out or changed, by reason, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..components.slots import Writer
from ..errors import Location
from ..types import Prediction, Unused

LISTED = 1000
"""Number of changes of each kind, left out or adjusted, that are listed one by one; the others are counted."""
_MOST_REASONS = 200
_OTHER = "other reasons"
_QUOTED = re.compile(r"`[^`]*`( \([^()]*\))?")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


@dataclass(slots=True)
class Reason:
    """Changes for the same reason, apart from the words and numbers in it."""

    text: str
    first: Unused
    count: int = 0

    def line(self) -> str:
        """One line for the user: the change itself if it is the only one."""
        if self.count == 1:
            return describe(self.first)
        return f"{self.count:,} × {self.text}; the first at {_place(self.first)}"


class Changes:
    """Counts `Sentence.unused`: the first are kept, and all are counted by reason."""

    def __init__(self, items: Iterable[Unused] = ()) -> None:
        self.count = 0
        self.left_out: list[Unused] = []
        """The first annotations that were left out, at most `LISTED`."""
        self.adjusted: list[Unused] = []
        """The first changes to what is used after all, at most `LISTED`."""
        self._reasons: dict[tuple[str, bool], Reason] = {}
        self.add(items)

    def add(self, items: Iterable[Unused]) -> None:
        """Count some more."""
        for item in items:
            self.count += 1
            listed = self.adjusted if item.adjusted else self.left_out
            if len(listed) < LISTED:
                listed.append(item)
            text = _NUMBER.sub("…", _QUOTED.sub("`…`", item.reason))
            if (text, item.adjusted) not in self._reasons and len(self._reasons) >= _MOST_REASONS:
                text = _OTHER
            self._reasons.setdefault((text, item.adjusted), Reason(text, item)).count += 1

    @property
    def reasons(self) -> list[Reason]:
        """The reasons, the most frequent first."""
        return sorted(self._reasons.values(), key=lambda reason: -reason.count)

    def lines(self, most: int) -> Iterator[str]:
        """At most `most` lines, and one more for the rest: each change if they are few, otherwise each reason."""
        if self.count <= most:
            yield from map(describe, self.first(most))
            return
        reasons = self.reasons
        yield from (reason.line() for reason in reasons[:most])
        if rest := sum(reason.count for reason in reasons[most:]):
            yield f"… and {rest:,} more, for {len(reasons) - most:,} other reasons"

    def first(self, most: int) -> list[Unused]:
        """The first changes, those that were left out before the others."""
        return (self.left_out + self.adjusted)[:most]

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """`unused` and `adjusted` list the first changes; `changes` counts all of them by reason."""
        return {
            "unused": [_entry(item) for item in self.left_out],
            "adjusted": [_entry(item) for item in self.adjusted],
            "changes": [
                {
                    "reason": reason.text,
                    "count": reason.count,
                    "adjusted": reason.first.adjusted,
                    "first": _entry(reason.first),
                }
                for reason in self.reasons
            ],
        }


class NotedChanges(Changes):
    """Changes that are noted: the first few when they are counted, and all of them by reason at the end."""

    def __init__(self, note: Callable[[str], None], most: int) -> None:
        super().__init__()
        self._note, self._most = note, most

    def add(self, items: Iterable[Unused]) -> None:
        """Count some more."""
        for item in items:
            if self.count < self._most:
                self._note(describe(item))
            super().add((item,))

    def conclude(self) -> None:
        """Note all of them by reason, if there were more than a few."""
        if self.count > self._most:
            self._note(f"annotations left out or changed: {self.count}")
            for line in self.lines(self._most):
                self._note(f"  {line}")


def written(predictions: Iterable[Prediction], writer: Writer, changes: Changes) -> Iterator[Prediction]:
    """Yield predictions, and count what the writer cannot hold as it is."""
    for prediction in predictions:
        changes.add(writer.changes(prediction))
        yield prediction


def describe(item: Unused) -> str:
    """File, line and reason of a change."""
    return f"{_place(item)}: {item.reason}"


def _place(item: Unused) -> str:
    return str(Location(item.file, item.line))


def _entry(item: Unused) -> dict[str, Any]:
    return {"file": item.file, "line": item.line, "reason": item.reason}
