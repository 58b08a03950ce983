"""The annotations of a brat document: the lines of its .ann file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ...errors import DataError
from ...files.text_lines import TextLines
from ...types import Unused
from .offset_units import UNITS, CharSpan, Places
from .standoff import SKIP_NOTE, StandoffReader

# brat itself allows no spaces in types; they are read anyway, unless a word of the type begins with a digit.
_SPAN = re.compile(r"(\S+(?: [^\s\d]\S*)*) ([0-9]{1,18} [0-9]{1,18}(?:;[0-9]{1,18} [0-9]{1,18})*)")
_OTHER_KINDS = {
    "R": "relation",
    "E": "event",
    "A": "attribute",
    "M": "modification",
    "N": "normalization",
    "#": "note",
    "*": "equivalence",
}
_BEGINS_ANNOTATION = re.compile(r"[TREAMN#*]\S*\t")


class _Line(NamedTuple):
    number: int
    text: str
    more: tuple[tuple[int, str], ...] = ()
    """Later lines that may belong to the text of the span, since they begin no annotation."""


def read_annotations(
    reader: StandoffReader, lines: TextLines, text: str
) -> tuple[list[CharSpan], list[Unused]]:
    """The spans of a document with this text, and reports of each other kind of annotation.

    Raises:
        DataError: a line is not an annotation, with `bad_annotation: error`.
    """
    spans: list[CharSpan] = []
    unused: list[Unused] = []
    others: dict[str, list[int]] = {}
    places = Places(text)
    for line in _with_continuations(lines):
        kind = line.text[:1]
        if kind == "T":
            parsed, bad = reader.each([line], lambda each: _parse_span(each, lines, places))
            rest = line.more if not parsed or parsed[0].text == line.text.split("\t", 2)[-1] else ()
            spans += parsed
            unused += bad
        elif kind in _OTHER_KINDS:
            others.setdefault(kind, []).append(line.number)
            rest = ()
        else:
            rest = ((line.number, line.text),)
        unused += [reader.left_out(_not_an_annotation(*each, lines)) for each in rest if each[1].strip()]
    unused += lines.take_replacements()
    for kind, numbers in others.items():
        reason = f"{len(numbers)} {_OTHER_KINDS[kind]}(s) ({kind}) not read: only spans are"
        unused.append(Unused(str(lines.path), numbers[0], reason))
    return spans, unused


def _with_continuations(lines: TextLines) -> Iterator[_Line]:
    """The lines, each `T` line with the lines after it that begin no annotation."""
    span: _Line | None = None
    for number, text in lines:
        if span is not None and not _BEGINS_ANNOTATION.match(text):
            span = span._replace(more=(*span.more, (number, text)))
            continue
        if span is not None:
            yield span
        span = _Line(number, text) if text.startswith("T") else None
        if span is None and text.strip():
            yield _Line(number, text)
    if span is not None:
        yield span


def _not_an_annotation(number: int, text: str, lines: TextLines) -> DataError:
    kinds = ", ".join(["T", *_OTHER_KINDS])
    message = f"`{text[:40]}` is not an annotation of brat: lines begin with {kinds}"
    return DataError.at(message, lines.path, number, SKIP_NOTE)


def _parse_span(line: _Line, lines: TextLines, places: Places) -> CharSpan:
    """The span of a `T` line; its text includes the lines after it if this is the text at its offsets."""
    fields = line.text.split("\t", 2)
    match = _SPAN.fullmatch(fields[1]) if len(fields) == 3 else None
    if match is None:
        message = f"expected `T1<tab>TYPE START END<tab>TEXT`, found `{line.text[:60]}`"
        raise DataError.at(message, lines.path, line.number, SKIP_NOTE)
    pairs = [pair.split(" ") for pair in match[2].split(";")]
    (start, end), *more = [(int(start), int(end)) for start, end in pairs]
    span = CharSpan(start, end, match[1], line.number, str(lines.path), fields[2], tuple(more))
    if line.more:
        longer = replace(span, text="\n".join([fields[2], *(text for _, text in line.more)]))
        if any(places.fits(longer, unit) for unit in UNITS):
            return longer
    return span
