"""brat standoff: a text file, and a file of annotations of its characters (brat.nlplab.org/standoff.html)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ...files.data_files import all_files, name_within, natural_order, stands_for_several
from ...files.text_lines import TextLines, read_text
from ...types import Sentence, Unused
from ..registry import register
from .brat_annotations import read_annotations
from .discontinuous import DiscontinuousReader
from .offset_units import CharSpan
from .offsets import OffsetReader
from .text_file import TextFileReader
from .unit_detection import UnitDetector


@register.reader("brat")
class BratReader(DiscontinuousReader, OffsetReader, TextFileReader):
    """brat standoff: a folder of .txt and .ann files, or one pair; a line of text is a sentence.

    Lines that a span crosses are joined, and lines without a word are skipped. Relations and other annotations that
    are not spans are left out and reported. Offsets that count each line end `\\r\\n` as
    one character, UTF-16 units or bytes are converted if the texts of all spans of a document agree.
    """

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order, the documents of a folder by name (`2.txt` before `10.txt`).

        Raises:
            DataError: the path does not exist, a text or its annotations are missing, a line is not a brat annotation,
                or the text of a span is not at its offsets.
        """
        stems, reports = self._documents()
        for stem in stems:
            for sentence in self._document(stem, reports):
                yield sentence
                reports = ()
        if reports:
            yield Sentence([], spans=[], file=reports[0].file, line=reports[0].line, unused=reports)

    def _documents(self) -> tuple[list[Path], tuple[Unused, ...]]:
        """The documents, as paths without suffix, and reports of texts without annotations."""
        if not stands_for_several(self.path):
            return [_stem(self.path)], ()
        files = all_files(self.path)
        texts = {path.with_suffix("") for path in files if path.suffix == ".txt"}
        stems = {path.with_suffix("") for path in files if path.suffix == ".ann"}
        stems |= {stem for stem in texts if Path(f"{stem}.ann").exists()}
        bare = texts - stems
        if not stems:
            place = "in this folder" if self.path.is_dir() else "for this pattern"
            raise DataError.at(f"no `.ann` file {place}", self.path)
        reports = [
            Unused(f"{stem}.txt", None, "not read: this text has no annotation file")
            for stem in sorted(bare, key=natural_order)
        ]
        return sorted(stems, key=natural_order), tuple(reports)

    def _document(self, stem: Path, reports: tuple[Unused, ...]) -> Iterator[Sentence]:
        """The sentences of one document; `reports` are added to the first."""
        file, annotations = Path(f"{stem}.txt"), Path(f"{stem}.ann")
        text, replaced = read_text(file, self.encoding, self.encoding_errors, raw=True)
        written, unused = read_annotations(
            self, TextLines(annotations, self.encoding, self.encoding_errors, content="table"), text
        )
        detector = UnitDetector(self.offsets, lambda: [(text, written)])
        spans, changes = self.locate(text, written, str(annotations), None, detector)
        reports = (*reports, *replaced, *changes, *unused)
        document = name_within(stem, self.path) if stands_for_several(self.path) else stem.name
        for line, block, inside in _blocks(text, spans):
            sentence = self.annotate(block, inside, file=str(file), line=line, document=document)
            if sentence.words or sentence.unused:
                yield replace(sentence, unused=(*reports, *sentence.unused))
                reports = ()
        if reports:
            yield Sentence([], spans=[], file=str(file), line=1, document=document, unused=reports)


def _stem(path: Path) -> Path:
    if path.suffix not in (".txt", ".ann"):
        raise DataError.at("expected a folder, or a file that ends in .txt or .ann", path)
    return path.with_suffix("")


def _blocks(text: str, spans: Iterable[CharSpan]) -> Iterator[tuple[int, str, list[CharSpan]]]:
    """Yield each sentence: line number, text without line end, and spans counted from its beginning.

    A sentence is a line, or several lines joined by a span.
    """
    starts = [0, *(match.end() for match in re.finditer("\n" if "\n" in text else "\r", text))]
    joined = _join_lines(starts, spans)
    by_block: dict[int, list[CharSpan]] = {}
    for span in spans:
        by_block.setdefault(joined[bisect_right(starts, span.start) - 1], []).append(span)
    first_lines = sorted(set(joined))
    for index, after in zip(first_lines, [*first_lines[1:], len(starts)], strict=True):
        inside = by_block.get(index, [])
        end = starts[after] if after < len(starts) else len(text)
        start, end = _trim(text, starts[index], end, inside)
        yield index + 1, text[start:end], [span.moved(-start) for span in inside]


def _trim(text: str, start: int, end: int, spans: Iterable[CharSpan]) -> tuple[int, int]:
    """Exclude the line end and a byte-order mark, unless a span includes them."""
    first = min((span.start for span in spans), default=end)
    last = max((span.end for span in spans), default=start)
    for mark in ("\n", "\r"):
        if end > max(start, last) and text[end - 1] == mark:
            end -= 1
    if start == 0 < first and text.startswith("\ufeff"):
        start = 1
    return start, end


def _join_lines(starts: list[int], spans: Iterable[CharSpan]) -> list[int]:
    """The first line of each line's sentence; lines that a span crosses form one sentence."""
    joins = bytearray(len(starts))  # 1: the line belongs to the one before it
    for span in spans:
        first, last = bisect_right(starts, span.start), bisect_right(starts, span.end - 1)
        joins[first:last] = b"\1" * (last - first)
    first_lines: list[int] = []
    for line, join in enumerate(joins):
        first_lines.append(first_lines[-1] if join else line)
    return first_lines
