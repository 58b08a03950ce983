"""Character spans of a text converted to spans over its words.

Splitters ignore the annotation, so a span may begin or end inside a word. The option `misaligned` says what to do
then; spans that are left out or changed are reported in `Sentence.unused`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ...errors import DataError
from ...types import Sentence, Span, Unused
from ..slots import Reader, Splitter
from ..splitters.regex import RegexSplitter

Misaligned = Literal["split", "widen", "skip", "error"]
Offsets = list[tuple[int, int]]


class SplittingReader(Reader):
    """A reader of text that it splits into words."""

    splitter: Splitter = Field(default_factory=RegexSplitter, description="splits text into words")


class OffsetReader(SplittingReader):
    """A reader of text with annotated characters."""

    misaligned: Misaligned = Field(
        default="split",
        description="a span that begins or ends inside a word: split the word there (split), extend the span to "
        "the whole word (widen), leave the span out (skip), or raise an error (error)",
    )

    def annotate(
        self, text: str, spans: Sequence[CharSpan] | None, offsets: Offsets | None = None, **origin: Any
    ) -> Sentence:
        """A sentence of the text, as `annotated_sentence`; `offsets` are by default those of the splitter."""
        offsets = self.splitter.split(text) if offsets is None else offsets
        return annotated_sentence(text, spans, offsets, self.misaligned, **origin)


@dataclass(frozen=True, slots=True)
class CharSpan:
    """Characters `start` to `end` (not included) of a text have the type `type`."""

    start: int
    end: int
    type: str
    line: int | None = None
    """Line of the annotation in its file."""
    file: str | None = None
    """File of the annotation, if it is not that of the text."""


def annotated_sentence(
    text: str,
    spans: Sequence[CharSpan] | None,
    offsets: Offsets,
    misaligned: Misaligned,
    *,
    file: str,
    line: int | None,
    unused: Iterable[Unused] = (),
    document: str | None = None,
) -> Sentence:
    """A sentence with words at `offsets`, which `misaligned: split` divides at span ends, and its spans.

    Without `spans` (None) it is not annotated.

    Raises:
        DataError: a span is outside the text; or it is misaligned, and `misaligned` is `error`.
    """
    for span in spans or ():
        if not 0 <= span.start < span.end <= len(text):
            message = f"[{span.start}, {span.end}) is not inside this text of {len(text)} characters"
            raise DataError.at(message, span.file or file, span.line or line)
    original = _Words(offsets)
    if misaligned == "split":
        offsets = list(_split(offsets, {place for span in spans or () for place in (span.start, span.end)}))
    final = _Words(offsets)
    aligned: list[Span] = []
    reports = list(unused)
    for span in spans or ():
        first, last = original.covered(span)
        report = _report(text, span, original.offsets[first:last], misaligned, file, line)
        if report is not None:
            reports.append(report)
        if report is None or report.adjusted:
            aligned.append(Span(*final.covered(span), span.type))
    words = [text[start:end] for start, end in offsets]
    annotation = None if spans is None else aligned
    return Sentence(words, None, annotation, text, offsets, file, line, document, tuple(reports))


class _Words:
    """Looks up the words that overlap a span."""

    def __init__(self, offsets: Offsets) -> None:
        self.offsets = offsets
        self._starts, self._ends = [start for start, _ in offsets], [end for _, end in offsets]

    def covered(self, span: CharSpan) -> tuple[int, int]:
        """The index of the first of them, and of the one after the last."""
        return bisect_right(self._ends, span.start), bisect_left(self._starts, span.end)


def _split(offsets: Offsets, places: set[int]) -> Iterator[tuple[int, int]]:
    """The words, split at those places that are inside one."""
    ordered = sorted(places)
    for start, end in offsets:
        for place in ordered[bisect_right(ordered, start) : bisect_left(ordered, end)]:
            yield start, place
            start = place
        yield start, end


def _report(
    text: str, span: CharSpan, covered: Offsets, misaligned: Misaligned, file: str, line: int | None
) -> Unused | None:
    """A report if the span is left out or adjusted."""
    name, where = f"`{text[span.start : span.end]}` ({span.type})", span.line or line
    file = span.file or file
    if not covered:
        return Unused(file, where, f"{name} covers no word", span.type)
    start, end = covered[0][0], covered[-1][1]
    if span.start <= start and end <= span.end:
        return None
    partial = [piece for piece in (covered[0], covered[-1]) if piece[0] < span.start or span.end < piece[1]]
    words = ", ".join(f"`{text[first:last]}`" for first, last in dict.fromkeys(partial))
    reason = f"{name} begins or ends inside a word: {words}"
    if misaligned == "error":
        raise DataError.at(reason, file, where, "use `misaligned: split`, `widen` or `skip`")
    if misaligned == "skip":
        return Unused(file, where, reason, span.type)
    action = "split there" if misaligned == "split" else f"widened to `{text[start:end]}`"
    return Unused(file, where, f"{reason}, {action}", adjusted=True)
