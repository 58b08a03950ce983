"""Several columns of tags in one file: the spans of all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ... import schemes
from ...errors import DataError
from ...schemes.detection import TagDetector, TagReading
from ...schemes.names import ReaderScheme, ReaderStyle, Repair
from ...types import Sentence, Span, Unused


def joined(
    columns: dict[int, list[Sentence]],
    path: Path,
    scheme: ReaderScheme,
    style: ReaderStyle,
    repair: Repair,
) -> Iterator[Sentence]:
    """Yield sentences with the spans of all columns, given the sentences with the tags of each.

    The scheme of each column is detected by itself, unless it is declared.

    Raises:
        DataError: a column has plain tags, or a tag that is not in its scheme, or ill-formed with `repair: error`.
    """
    readings = {
        column: _reading(column, sentences, path, scheme, style) for column, sentences in columns.items()
    }
    for rows in zip(*columns.values(), strict=True):
        parts = zip(readings.items(), rows, strict=True)
        found = [_spans(sentence, column, reading, path, repair) for (column, reading), sentence in parts]
        spans = sorted(span for own, _ in found for span in own)
        changes = [change for _, own in found for change in own]
        yield replace(rows[0], tags=None, spans=spans, unused=(*rows[0].unused, *changes))


def _reading(
    column: int, sentences: Sequence[Sentence], path: Path, scheme: ReaderScheme, style: ReaderStyle
) -> TagReading:
    detector = TagDetector()
    for sentence in sentences:
        detector.add(sentence.tags or ())
    reading = detector.reading(scheme, style)
    if reading.scheme == "plain" and sentences:
        first = next(tag for sentence in sentences for tag in sentence.tags or ())
        message = f"the tags in column {column} are plain (`{first}`) and mark no spans"
        raise DataError.at(message, path, sentences[0].line, "`label_column` lists columns with spans only")
    return reading


def _spans(
    sentence: Sentence, column: int, reading: TagReading, path: Path, repair: Repair
) -> tuple[list[Span], list[Unused]]:
    """The spans of a column of a sentence, and what was repaired."""
    try:
        decoded = schemes.decode(reading.canonical(sentence.tags or ()), reading.scheme, repair)
    except schemes.SchemeError as error:
        message = f"column {column}, word {error.index + 1}, `{sentence.words[error.index]}`: {error}"
        raise DataError.at(message, path, sentence.line_of(error.index)) from error
    if not decoded.repaired:
        return decoded.spans, []
    reason = f"{decoded.repaired} ill-formed tags repaired in column {column}"
    return decoded.spans, [Unused(str(path), sentence.line, reason, adjusted=True)]
