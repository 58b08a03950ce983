"""Reports of what a reader leaves out, attached to the sentences that it yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ...types import Sentence, Unused
from .offsets import AnnotatedText, Offsets


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


def text_outside(text: str, words: Offsets, file: str, line: int | None) -> list[Unused]:
    """A report if a text has characters, other than white space, that are in none of its words."""
    ends, starts = [0, *(end for _, end in words)], [*(start for start, _ in words), len(text)]
    gaps = [text[end:start].strip() for end, start in zip(ends, starts, strict=True)]
    lost = [gap for gap in gaps if gap]
    if not lost:
        return []
    reason = f"{sum(map(len, lost))} characters are in no token, such as `{lost[0][:40]}`"
    return [Unused(file, line, reason, adjusted=True)]
