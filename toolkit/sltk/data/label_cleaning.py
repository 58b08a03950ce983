"""Labels as they are meant: without blanks around them or invisible characters, and with names instead of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..components.slots import Reader
from ..errors import DataError
from ..schemes import OUTSIDE
from ..schemes.label_text import clean, removed, visible
from ..types import Sentence, Span, Unused

_MOST_KNOWN = 65536
_LETTER_ALONE = re.compile("[BIESLUMW]-")


class LabelCleaner:
    """Cleans the tags, and the types of spans, of a reader's sentences; `Sentence.unused` counts each change."""

    def __init__(self, reader: Reader) -> None:
        self._names: Sequence[str] | None = getattr(reader, "tag_names", None)
        self._missing: str | None = getattr(reader, "missing", None)
        self._outside: str | None = getattr(reader, "outside", None)
        self._reader = reader
        self._known: set[str] = set()
        """Labels that stay as they are."""

    def __call__(self, sentence: Sentence) -> Sentence:
        """The sentence with clean labels.

        Raises:
            DataError: a tag is empty or consists of blanks, or is not a number that `tag_names` names.
        """
        if sentence.tags is not None and not self._known.issuperset(sentence.tags):
            sentence = self._clean_tags(sentence, sentence.tags)
        if sentence.spans and not self._known.issuperset(span.type for span in sentence.spans):
            sentence = self._clean_spans(sentence, sentence.spans)
        if any(report.type is not None for report in sentence.unused):
            sentence = replace(sentence, unused=tuple(map(_clean_report, sentence.unused)))
        return sentence

    def _clean_tags(self, sentence: Sentence, tags: list[str]) -> Sentence:
        file = sentence.file or "(data)"
        cleaned, reports = [], []
        for index, tag in enumerate(tags):
            text = clean(tag)
            if text != tag and _LETTER_ALONE.fullmatch(text):
                raise self._error(f"the type in its tag `{visible(tag)}` is blank", sentence, index)
            if text and text != tag:
                reports.append(label_change(file, sentence.line_of(index), tag))
            text = self._meant(text or self._missing or "", sentence, index)
            cleaned.append(text)
            if text == tag:
                self._add(tag)
        return replace(sentence, tags=cleaned, unused=(*sentence.unused, *reports))

    def _meant(self, tag: str, sentence: Sentence, index: int) -> str:
        """The tag, or its name if it is a number, or `O` for the reader's own tag of words outside of spans.

        Raises:
            DataError: the tag is empty, or no number that has a name.
        """
        if not tag:
            note = "`missing: O` reads words without a tag as `O`"
            raise self._error("its tag is empty", sentence, index, note)
        if tag == self._outside:
            return OUTSIDE
        if self._names is None or tag in self._names:
            return tag
        if tag.isascii() and tag.isdigit() and int(tag) < len(self._names):
            return self._names[int(tag)]
        count = len(self._names)
        raise self._error(f"`{tag}` is not the number of one of the {count} `tag_names`", sentence, index)

    def _clean_spans(self, sentence: Sentence, spans: list[Span]) -> Sentence:
        reports = list(self._span_reports(sentence, spans))
        cleaned = [replace(span, type=clean(span.type)) for span in spans]
        return replace(sentence, spans=cleaned, unused=(*sentence.unused, *reports))

    def _span_reports(self, sentence: Sentence, spans: list[Span]) -> Iterator[Unused]:
        for span in spans:
            if clean(span.type) == span.type:
                self._add(span.type)
            elif clean(span.type):  # a span without a type is an error, wherever it is used
                yield label_change(sentence.file or "(data)", sentence.line_of(span.start), span.type)

    def _add(self, label: str) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(label)

    def _error(self, problem: str, sentence: Sentence, index: int, *notes: str) -> DataError:
        file = sentence.file or getattr(self._reader, "path", None) or f"(reader {self._reader.type_name})"
        message = f"word {index + 1}, `{sentence.words[index]}`: {problem}"
        return DataError.at(message, file, sentence.line_of(index), *notes)


def label_change(file: str, line: int | None, label: str) -> Unused:
    """The report of a label that `clean` changes."""
    reason = f"`{clean(label)}` is written with {removed(label)}, which is left out"
    return Unused(file, line, reason, adjusted=True)


def _clean_report(report: Unused) -> Unused:
    """A report that counts for the clean type of its span."""
    if report.type is None or clean(report.type) == report.type:
        return report
    return replace(report, type=clean(report.type))
