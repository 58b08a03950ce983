"""brat standoff: a text file, and a file of annotations of its characters (brat.nlplab.org/standoff.html)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ...files.data_files import natural_order
from ...files.text_lines import TextLines, read_text
from ...types import Sentence, Unused
from ..registry import register
from .offsets import CharSpan, OffsetReader
from .text_file import TextFileReader

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


@register.reader("brat")
class BratReader(OffsetReader, TextFileReader):
    """brat standoff: a folder of .txt and .ann files, or one pair; a line of text is a sentence.

    Lines that a span crosses are joined, and lines without a word are skipped. Discontinuous spans are left out and
    reported, as are relations and other annotations that are not spans.
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
        if not self.path.is_dir():
            return [_stem(self.path)], ()
        stems = {path.with_suffix("") for path in self.path.rglob("*.ann")}
        bare = {path.with_suffix("") for path in self.path.rglob("*.txt")} - stems
        if not stems:
            raise DataError.at("no `.ann` file in this folder", self.path)
        reports = [
            Unused(f"{stem}.txt", None, "not read: this text has no annotation file")
            for stem in sorted(bare, key=natural_order)
        ]
        return sorted(stems, key=natural_order), tuple(reports)

    def _document(self, stem: Path, reports: tuple[Unused, ...]) -> Iterator[Sentence]:
        """The sentences of one document; `reports` are added to the first."""
        file, annotations = Path(f"{stem}.txt"), Path(f"{stem}.ann")
        text, replaced = read_text(file, self.encoding, self.encoding_errors, raw=True)
        lines = TextLines(annotations, self.encoding, self.encoding_errors, content="table")
        spans, unused = _read_annotations(lines, text)
        reports = (*reports, *replaced, *unused)
        document = str(stem.relative_to(self.path)) if self.path.is_dir() else stem.name
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


def _read_annotations(lines: TextLines, text: str) -> tuple[list[CharSpan], list[Unused]]:
    """The spans in an .ann file, and reports of discontinuous spans and of each other kind of annotation.

    Raises:
        DataError: a line is not an annotation, or its text is not at its offsets.
    """
    spans: list[CharSpan] = []
    unused: list[Unused] = []
    others: dict[str, list[int]] = {}
    for number, line in lines:
        if line.startswith("T"):
            span = _parse_span(line, number, lines.path, text)
            if isinstance(span, CharSpan):
                spans.append(span)
            else:
                unused.append(span)
        elif line[:1] in _OTHER_KINDS:
            others.setdefault(line[0], []).append(number)
        elif line.strip():
            kinds = ", ".join(["T", *_OTHER_KINDS])
            message = f"`{line[:40]}` is not an annotation of brat: lines begin with {kinds}"
            raise DataError.at(message, lines.path, number)
    unused += lines.take_replacements()
    for kind, numbers in others.items():
        reason = f"{len(numbers)} {_OTHER_KINDS[kind]}(s) ({kind}) not read: only spans are"
        unused.append(Unused(str(lines.path), numbers[0], reason))
    return spans, unused


def _parse_span(line: str, number: int, path: Path, text: str) -> CharSpan | Unused:
    """The span of a `T` line; a report if it is discontinuous."""
    fields = line.split("\t", 2)
    match = _SPAN.fullmatch(fields[1]) if len(fields) == 3 else None
    if match is None:
        message = f"expected `T1<tab>TYPE START END<tab>TEXT`, found `{line[:60]}`"
        raise DataError.at(message, path, number)
    pairs = [pair.split(" ") for pair in match[2].split(";")]
    parts = [(int(start), int(end)) for start, end in pairs]
    _check_parts(parts, fields[2], number, path, text)
    parts = _merge_parts(parts, text)
    if len(parts) == 1:
        return CharSpan(*parts[0], match[1], number, str(path))
    reason = f"`{fields[2]}` ({match[1]}) has {len(parts)} parts: discontinuous spans are not read"
    return Unused(str(path), number, reason, match[1])


def _check_parts(parts: list[tuple[int, int]], quoted: str, number: int, path: Path, text: str) -> None:
    """Check that the parts are in order inside the text, and have the text that the line quotes."""
    end_before = 0
    for start, end in parts:
        if not end_before <= start < end <= len(text):
            message = f"[{start}, {end}) is empty, out of order or outside a text of {len(text)} characters"
            raise DataError.at(message, path, number)
        end_before = end
    actual = " ".join(text[start:end] for start, end in parts)
    if actual.split() != quoted.split():
        offsets = "; ".join(f"[{start}, {end})" for start, end in parts)
        raise DataError.at(
            f"the text at {offsets} is `{actual}`, not `{quoted}`", path, number, *_advice(text)
        )


def _advice(text: str) -> Iterator[str]:
    if "\r\n" in text:
        yield "offsets count all characters of the file, including both of each line end (\\r\\n)"
    if text.startswith("\ufeff"):
        yield "the text begins with a byte-order mark, which counts as a character"


def _merge_parts(parts: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Merge parts with only white space between them: brat writes a span that crosses lines in parts."""
    merged = parts[:1]
    for start, end in parts[1:]:
        if text[merged[-1][1] : start].strip():
            merged.append((start, end))
        else:
            merged[-1] = (merged[-1][0], end)
    return merged


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
        moved = [replace(span, start=span.start - start, end=span.end - start) for span in inside]
        yield index + 1, text[start:end], moved


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
