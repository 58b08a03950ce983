"""From annotated characters of a text to spans over its words.

Splitters know nothing of the annotation, so a span may begin or end inside a word. What is then done is the
reader's option `misaligned`; a span that is left out or changed is reported in `Sentence.unused`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ...errors import DataError
from ...types import Sentence, Span, Unused
from ..registry import registry
from ..slots import Reader, Splitter

Misaligned = Literal["split", "widen", "skip", "error"]
Offsets = list[tuple[int, int]]


def default_splitter() -> Splitter:
    """The splitter of readers of text: `regex`."""
    found = registry.find("splitter", "regex").model_validate({})
    assert isinstance(found, Splitter)
    return found


class SplittingReader(Reader):
    """A reader of text that it cuts into words."""

    splitter: Splitter = Field(default_factory=default_splitter, description="cuts text into words")


class OffsetReader(SplittingReader):
    """A reader of text with annotated characters."""

    misaligned: Misaligned = Field(
        default="split",
        description="a span that begins or ends inside a word: cut the word there (split), take the whole "
        "word (widen), leave the span out (skip), or stop (error)",
    )


@dataclass(frozen=True, slots=True)
class CharSpan:
    """Characters `start` to `end` (not included) of a text have the type `type`."""

    start: int
    end: int
    type: str
    line: int | None = None
    """Where the annotation stands in its file."""
    file: str | None = None
    """That file, where it is not the one of the text."""


def annotated(
    text: str,
    spans: Sequence[CharSpan],
    offsets: Offsets,
    misaligned: Misaligned,
    *,
    file: str,
    line: int | None,
    unused: Iterable[Unused] = (),
    document: str | None = None,
) -> Sentence:
    """The sentence with words at `offsets`, which `split` may cut further, and spans over those words.

    Raises:
        DataError: a span reaches beyond the text; or it is misaligned, and `misaligned` is `error`.
    """
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            message = f"[{span.start}, {span.end}) are no characters of this text, which has {len(text)}"
            raise DataError.at(message, span.file or file, span.line or line)
    uncut = _Words(offsets)
    if misaligned == "split":
        offsets = list(_cut(offsets, {place for span in spans for place in (span.start, span.end)}))
    cut = _Words(offsets)
    found: list[Span] = []
    reports = list(unused)
    for span in spans:
        first, last = uncut.covered(span)
        report = _report(text, span, uncut.offsets[first:last], misaligned, file, line)
        if report is not None:
            reports.append(report)
        if report is None or report.adjusted:
            found.append(Span(*cut.covered(span), span.type))
    words = [text[start:end] for start, end in offsets]
    return Sentence(words, None, found, text, offsets, file, line, document, tuple(reports))


class _Words:
    """Looks up the words that a span takes in, whole or in part."""

    def __init__(self, offsets: Offsets) -> None:
        self.offsets = offsets
        self._starts, self._ends = [start for start, _ in offsets], [end for _, end in offsets]

    def covered(self, span: CharSpan) -> tuple[int, int]:
        """The first of them, and the one after the last."""
        return bisect_right(self._ends, span.start), bisect_left(self._starts, span.end)


def _cut(offsets: Offsets, places: set[int]) -> Iterator[tuple[int, int]]:
    """The words, cut at those places that lie inside one."""
    ordered = sorted(places)
    for start, end in offsets:
        for place in ordered[bisect_right(ordered, start) : bisect_left(ordered, end)]:
            yield start, place
            start = place
        yield start, end


def _report(
    text: str, span: CharSpan, covered: Offsets, misaligned: Misaligned, file: str, line: int | None
) -> Unused | None:
    """What has to be said of a span that is left out, or used otherwise than as it stands."""
    shown, where = f"`{text[span.start : span.end]}` ({span.type})", span.line or line
    file = span.file or file
    if not covered:
        return Unused(file, where, f"{shown} covers no word", span.type)
    start, end = covered[0][0], covered[-1][1]
    if span.start <= start and end <= span.end:
        return None
    torn = [piece for piece in (covered[0], covered[-1]) if piece[0] < span.start or span.end < piece[1]]
    words = ", ".join(f"`{text[first:last]}`" for first, last in dict.fromkeys(torn))
    about = f"{shown} begins or ends inside a word: {words}"
    if misaligned == "error":
        raise DataError.at(about, file, where, "`misaligned: split`, `widen` or `skip` goes on")
    if misaligned == "skip":
        return Unused(file, where, about, span.type)
    done = "cut there" if misaligned == "split" else f"widened to `{text[start:end]}`"
    return Unused(file, where, f"{about}, {done}", adjusted=True)
