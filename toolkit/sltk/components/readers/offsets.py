"""Character spans of a text converted to spans over its words.

Splitters ignore the annotation, so a span may begin or end inside a word. The option `misaligned` says what to do
then; spans that are left out or changed are reported in `Sentence.unused`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from ...errors import DataError
from ...files.opening import is_stream
from ...types import Sentence, Span, Unused
from ..slots import FileReader, Reader, Splitter
from ..splitters.regex import RegexSplitter
from .discontinuous import Discontinuous, DiscontinuousReader, parts_report, spans_of_parts
from .offset_units import UNITS, CharSpan, Places, Unit, merge_parts
from .standoff import SKIP_NOTE, StandoffReader
from .unit_detection import Declared, UnitDetector

Misaligned = Literal["split", "widen", "skip", "error"]
Offsets = list[tuple[int, int]]


class SplittingReader(Reader):
    """A reader of text that it splits into words."""

    splitter: Splitter = Field(default_factory=RegexSplitter, description="splits text into words")


@dataclass(frozen=True, slots=True)
class AnnotatedText:
    """A text and its spans, in the offsets of the file; without `spans` (None) it is not annotated."""

    text: str
    spans: Sequence[CharSpan] | None
    file: str
    line: int | None = None
    unused: tuple[Unused, ...] = ()
    document: str | None = None
    words: Offsets | None = None
    """The words in characters; None for those of the splitter."""


class AligningReader(Reader):
    """A reader of spans that may begin or end inside a word."""

    misaligned: Misaligned = Field(
        default="split",
        description="a span that begins or ends inside a word: split the word there (split), extend the span to "
        "the whole word (widen), leave the span out (skip), or raise an error (error)",
    )


class OffsetReader(SplittingReader, AligningReader, StandoffReader, FileReader):
    """A reader of text with annotated characters. A subclass implements `texts`."""

    offsets: Declared = Field(
        default="auto",
        description="what offsets count: characters, UTF-16 units as in Java and JavaScript (utf16), or bytes of "
        "UTF-8 (bytes); `auto` recognizes it if annotations repeat their text, and otherwise takes characters",
    )

    def texts(self) -> Iterator[AnnotatedText | Sentence]:
        """Yield the texts of the file in order; a sentence that has no spans of characters is yielded as it is."""
        raise NotImplementedError

    def read_file(self) -> Iterator[Sentence]:
        """Yield one sentence per text.

        Raises:
            DataError: raised by `texts`; or a span is not inside its text, or not at the text that it repeats.
        """
        pending: deque[AnnotatedText | Sentence] = deque()
        source = self.texts()

        def read_again() -> Iterator[tuple[str, Sequence[CharSpan]]]:
            if is_stream(self.path):
                pending.extend(source)
            for each in pending if is_stream(self.path) else self.texts():
                if isinstance(each, AnnotatedText):
                    yield each.text, each.spans or ()

        detector = UnitDetector(self.offsets, read_again)
        while (each := pending.popleft() if pending else next(source, None)) is not None:
            yield each if isinstance(each, Sentence) else self._sentence(each, detector)

    def _sentence(self, each: AnnotatedText, detector: UnitDetector) -> Sentence:
        spans, unused = self.locate(each.text, each.spans or (), each.file, each.line, detector)
        return self.annotate(
            each.text,
            None if each.spans is None else spans,
            each.words,
            file=each.file,
            line=each.line,
            unused=(*each.unused, *unused),
            document=each.document,
        )

    def locate(
        self, text: str, spans: Sequence[CharSpan], file: str, line: int | None, detector: UnitDetector
    ) -> tuple[list[CharSpan], list[Unused]]:
        """The spans in characters, each in one part, and reports of those that are left out or converted.

        Raises:
            DataError: a span is not inside the text, or not at the text that it repeats, with
                `bad_annotation: error`.
        """
        places = Places(text)
        unit = detector.unit_of(places, spans)
        counts_characters = places.equal_under((unit, UNITS[0]))
        located: list[CharSpan] = []
        unused: list[Unused] = []
        converted = 0
        for span in spans:
            if counts_characters and places.is_as_written(span):
                located.append(span)
                continue
            parts = places.parts(span, unit)
            if parts is None or not span.type or (span.text is not None and not places.fits(span, unit)):
                unused.append(self.left_out(_problem(span, places, unit, file, line), span.type or None))
                continue
            merged = merge_parts(parts, text)
            unused += self._parts_report(span, parts, merged, places, file, line)
            if len(merged) == 1 or self._discontinuous != "skip":
                fragments = tuple(merged) if len(merged) > 1 else ()
                start, end = merged[0][0], merged[-1][1]
                located.append(replace(span, start=start, end=end, text=None, more=(), fragments=fragments))
                converted += unit != detector.default and parts != places.parts(span, detector.default)
        if converted:
            reason = f"offsets of {converted} span(s) count {unit}: converted to characters"
            unused.append(Unused(file, line, reason, adjusted=True))
        return located, unused

    def annotate(
        self, text: str, spans: Sequence[CharSpan] | None, offsets: Offsets | None = None, **origin: Any
    ) -> Sentence:
        """A sentence of the text, as `annotated_sentence`; `offsets` are by default those of the splitter."""
        offsets = self.splitter.split(text) if offsets is None else offsets
        return annotated_sentence(
            text, spans, offsets, self.misaligned, discontinuous=self._discontinuous, **origin
        )

    @property
    def _discontinuous(self) -> Discontinuous:
        """What to do with discontinuous spans; only some formats have them."""
        return self.discontinuous if isinstance(self, DiscontinuousReader) else "skip"

    def _parts_report(
        self, span: CharSpan, parts: Offsets, merged: Offsets, places: Places, file: str, line: int | None
    ) -> Iterator[Unused]:
        """A report of a span in several parts, unless only white space separates them."""
        name, file, line = f"`{places.quote(parts)}` ({span.type})", span.file or file, span.line or line
        is_ordered = all(before[1] <= after[0] for before, after in pairwise(parts))
        how = "" if is_ordered else ", which are out of order or overlap"
        if len(merged) > 1:
            number = f"{len(merged)} parts{how}"
            yield parts_report(file, line, name, span.type, number, self._discontinuous)
        elif how:
            text = places.quote(merged)
            yield Unused(file, line, f"{name} has {len(parts)} parts{how}: read as `{text}`", adjusted=True)


def _problem(span: CharSpan, places: Places, unit: Unit, file: str, line: int | None) -> DataError:
    """The error for a span that has no type, is not inside its text, or not at the text that it repeats."""
    parts = places.parts(span, unit)
    name, notes = _brackets(span.parts), list(_advice(span, places, unit))
    if not span.type:
        message, notes = f"the span at {name} has no type", [SKIP_NOTE]
    elif parts is not None:
        message = f"the text at {name} is `{places.quote(parts)}`, not `{span.text}`"
    elif any(start == end for start, end in span.parts):
        message, notes = f"{name} is empty", [SKIP_NOTE]
    else:
        message = f"{name} is not inside this text of {len(places.text)} characters"
    message = f"{span.path}: {message}" if span.path else message
    return DataError.at(message, span.file or file, span.line or line, *notes)


def _advice(span: CharSpan, places: Places, unit: Unit) -> Iterator[str]:
    others = [other for other in UNITS if other != unit]
    if span.text is not None:
        fitting = next((other for other in others if places.fits(span, other)), None)
        if fitting is not None:
            yield f"it is there if offsets count {fitting}; those of this file are read as {unit} (`offsets`)"
        else:
            yield from _nearest_place(span, places.text)
        if fitting is None and places.text.startswith("\ufeff"):
            yield "the text begins with a byte-order mark, which counts as a character"
    else:
        fitting = next((other for other in others if places.parts(span, other) is not None), None)
        if fitting is not None:
            yield f"if offsets count {fitting}, set `offsets: {fitting.name}`"
    yield SKIP_NOTE


def _nearest_place(span: CharSpan, text: str) -> Iterator[str]:
    """Where the repeated text is, if it occurs: offsets may begin at 1, or include the last character."""
    if span.text:
        starts = (match.start() for match in re.finditer(re.escape(span.text), text))
        start = min(starts, key=lambda place: abs(place - span.start), default=None)
        if start is not None:
            yield f"`{span.text}` is at [{start}, {start + len(span.text)})"


def _brackets(parts: Iterable[tuple[int, int]]) -> str:
    return "; ".join(f"[{start}, {end})" for start, end in parts)


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
    discontinuous: Discontinuous = "skip",
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
        ends = {place for span in spans or () for piece in span.pieces for place in piece}
        offsets = list(_split(offsets, ends))
    final = _Words(offsets)
    aligned: list[Span] = []
    reports = list(unused)
    for span in spans or ():
        parts: list[tuple[int, int]] = []
        for start, end in span.pieces:
            piece = replace(span, start=start, end=end)
            first, last = original.covered(piece)
            report = _report(text, piece, original.offsets[first:last], misaligned, file, line)
            reports += [report] if report else []
            if report is not None and not report.adjusted:
                break
            parts.append(final.covered(piece))
        else:
            aligned += spans_of_parts(parts, span.type, discontinuous)
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
