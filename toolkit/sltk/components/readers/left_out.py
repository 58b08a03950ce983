"""Reports of what a reader leaves out, attached to the sentences that it yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ...types import Sentence, Unused
from .offsets import AnnotatedText


def attach_reports(
    items: Iterable[AnnotatedText | Sentence | Unused],
) -> Iterator[AnnotatedText | Sentence]:
    """Yield the texts with the reports before them; those after the last are added to it.

    If there are reports only, they come with an empty sentence.
    """
    reports: list[Unused] = []
    last: AnnotatedText | Sentence | None = None
    for item in items:
        if isinstance(item, Unused):
            reports.append(item)
            continue
        if last is not None:
            yield last
        last = replace(item, unused=(*reports, *item.unused))
        reports.clear()
    if last is not None:
        yield replace(last, unused=(*last.unused, *reports))
    elif reports:
        yield Sentence([], spans=[], file=reports[0].file, line=reports[0].line, unused=tuple(reports))
