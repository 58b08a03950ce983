"""How a search goes, while it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .sweep_table import Shown, time_text

if TYPE_CHECKING:
    from ..search import Search
    from ..sweeps import Row, Status


class SearchShown(Shown):
    """Watches a search on standard error."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search

    def lines(self, status: Status) -> Iterator[str]:
        """What was spent, and the best so far."""
        space = self.search.space
        budget = f"{space.spent:.1f} of {space.budget:.1f} full runs asked for"
        yield f"{len(space.masks)} masks: {len(space.finished)} trained; {budget}"
        if space.best is not None:
            yield f"best so far: {space.best}, validation {space.finished[space.best]:.4f}"

    def ended(self, row: Row, status: Status) -> None:
        """A line for each piece of work."""
        scores = f"validation {row.validation:.4f}" if row.state == "done" else row.reason or "resumes later"
        what = "shared run, all masks scored" if row.name == ".shared" else f"{row.name}: {scores}"
        spent = f"{self.search.space.spent / len(self.search.space.masks):.1%} asked for"
        line = f"{spent}  {what.splitlines()[0]}  ({time_text(row.seconds)} in all)"
        self.console.print(line, soft_wrap=True, markup=False)
