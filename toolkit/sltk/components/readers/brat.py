"""brat standoff: a text, and beside it a file of annotations of its characters (brat.nlplab.org/standoff.html)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DataError
from ...files.text_lines import TextLines, read_text
from ...types import Sentence, Unused
from ..registry import register
from .base import TextFileReader
from .offsets import CharSpan, OffsetReader, annotated

# A type of several words is none of brat's own, but is read; numbers are no part of one.
_SPAN = re.compile(r"(\S+(?: [^\s\d]\S*)*) ([0-9]{1,18} [0-9]{1,18}(?:;[0-9]{1,18} [0-9]{1,18})*)")
_OTHERS = {
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

    Lines that a span crosses are joined, and lines without a word are passed over. A span in several parts
    is no span of words, so it is reported, as are relations and other annotation that is not of spans.
    """

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order, the documents of a folder by name (`2.txt` before `10.txt`).

        Raises:
            DataError: no such file, a text or its annotations are missing, a line is no annotation of brat,
                or the text of a span is not at its offsets.
        """
        stems, waiting = self._stems()
        for stem in stems:
            for sentence in self._document(stem, waiting):
                yield sentence
                waiting = ()
        if waiting:
            yield Sentence([], spans=[], file=waiting[0].file, line=waiting[0].line, unused=waiting)

    def _stems(self) -> tuple[list[Path], tuple[Unused, ...]]:
        """The documents, as paths without suffix, and reports on texts that have no annotations."""
        if not self.path.is_dir():
            return [_stem(self.path)], ()
        stems = {path.with_suffix("") for path in self.path.rglob("*.ann")}
        bare = {path.with_suffix("") for path in self.path.rglob("*.txt")} - stems
        if not stems:
            raise DataError.at("no `.ann` file in this folder", self.path)
        reports = [
            Unused(f"{stem}.txt", None, "no annotations beside this text: it is not read")
            for stem in sorted(bare, key=_natural)
        ]
        return sorted(stems, key=_natural), tuple(reports)

    def _document(self, stem: Path, waiting: tuple[Unused, ...]) -> Iterator[Sentence]:
        """The sentences of one document; the first says what has been `waiting`."""
        file = Path(f"{stem}.txt")
        text, replaced = read_text(file, self.encoding, self.encoding_errors, raw=True)
        annotations = _Annotations(Path(f"{stem}.ann"), text)
        annotations.read(TextLines(annotations.path, self.encoding, self.encoding_errors))
        reports = (*waiting, *replaced, *annotations.reports())
        name = str(stem.relative_to(self.path)) if self.path.is_dir() else stem.name
        for block in _blocks(text, annotations.spans):
            sentence = self._sentence(block, file, name)
            if sentence.words or sentence.unused:
                yield replace(sentence, unused=(*reports, *sentence.unused))
                reports = ()
        if reports:
            yield Sentence([], spans=[], file=str(file), line=1, document=name, unused=reports)

    def _sentence(self, block: _TextBlock, file: Path, document: str) -> Sentence:
        offsets = self.splitter.split(block.text)
        return annotated(
            block.text,
            block.spans,
            offsets,
            self.misaligned,
            file=str(file),
            line=block.line,
            document=document,
        )


def _stem(path: Path) -> Path:
    if path.suffix not in (".txt", ".ann"):
        raise DataError.at("expected a folder, or a file that ends in .txt or .ann", path)
    return path.with_suffix("")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Orders names as a person does: by their numbers where they have some."""
    return [
        (int(part), "") if part.isdecimal() and part.isascii() else (-1, part)
        for part in re.split(r"([0-9]+)", path.as_posix())
    ]


class _Annotations:
    """What an .ann file says of its text."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        self.spans: list[CharSpan] = []
        self._unused: list[Unused] = []
        self._others: dict[str, list[int]] = {}

    def read(self, lines: TextLines) -> None:
        """Take all lines.

        Raises:
            DataError: a line is no annotation, or its text is not at its offsets.
        """
        for number, line in lines:
            if line.startswith("T"):
                self._take(number, line)
            elif line[:1] in _OTHERS:
                self._others.setdefault(line[0], []).append(number)
            elif line.strip():
                kinds = ", ".join(["T", *_OTHERS])
                message = f"`{line[:40]}` is no annotation of brat: lines begin with {kinds}"
                raise DataError.at(message, self.path, number)
        self._unused += lines.take_replaced()

    def reports(self) -> Iterator[Unused]:
        """What is not among the spans: those in several parts, and the other annotations, one report a kind."""
        yield from self._unused
        for kind, lines in self._others.items():
            reason = f"{len(lines)} {_OTHERS[kind]}(s) ({kind}), which are no spans: not read"
            yield Unused(str(self.path), lines[0], reason)

    def _take(self, number: int, line: str) -> None:
        fields = line.split("\t", 2)
        found = _SPAN.fullmatch(fields[1]) if len(fields) == 3 else None
        if found is None:
            message = f"expected `T1<tab>TYPE START END<tab>TEXT`, found `{line[:60]}`"
            raise DataError.at(message, self.path, number)
        pairs = [pair.split(" ") for pair in found[2].split(";")]
        parts = [(int(start), int(end)) for start, end in pairs]
        self._check(parts, fields[2], number)
        parts = _merged(parts, self.text)
        if len(parts) == 1:
            self.spans.append(CharSpan(*parts[0], found[1], number, str(self.path)))
        else:
            reason = f"`{fields[2]}` ({found[1]}) is in {len(parts)} parts: no span of words"
            self._unused.append(Unused(str(self.path), number, reason, found[1]))

    def _check(self, parts: list[tuple[int, int]], said: str, number: int) -> None:
        """The parts lie in the text one after another, and are what the line says."""
        end_before = 0
        for start, end in parts:
            if not end_before <= start < end <= len(self.text):
                message = f"[{start}, {end}) is empty, out of order or outside a text of {len(self.text)} characters"
                raise DataError.at(message, self.path, number)
            end_before = end
        found = " ".join(self.text[start:end] for start, end in parts)
        if found.split() != said.split():
            shown = "; ".join(f"{start} to {end}" for start, end in parts)
            message = f"the offsets {shown} are those of `{found}`, not of `{said}`"
            raise DataError.at(message, self.path, number, *self._advice())

    def _advice(self) -> Iterator[str]:
        if "\r\n" in self.text:
            yield "offsets count characters as they are in the file: both of those that end a line"
        if self.text.startswith("\ufeff"):
            yield "the text begins with a byte-order mark, which counts as a character"


def _merged(parts: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Parts with nothing but white space between them are one: so brat writes a span that crosses lines."""
    merged = parts[:1]
    for start, end in parts[1:]:
        if text[merged[-1][1] : start].strip():
            merged.append((start, end))
        else:
            merged[-1] = (merged[-1][0], end)
    return merged


@dataclass(frozen=True, slots=True)
class _TextBlock:
    """A line of text, or several that a span joins; its spans count from its beginning."""

    text: str
    line: int
    spans: list[CharSpan]


def _blocks(text: str, spans: Iterable[CharSpan]) -> Iterator[_TextBlock]:
    """The sentences of a text with their spans, in order; line ends are no part of them."""
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    joined = _joined(starts, spans)
    by_block: dict[int, list[CharSpan]] = {}
    for span in spans:
        by_block.setdefault(joined[bisect_right(starts, span.start) - 1], []).append(span)
    for index, start in enumerate(starts):
        if joined[index] != index:
            continue
        last = index
        while last + 1 < len(starts) and joined[last + 1] == index:
            last += 1
        inside = by_block.get(index, [])
        end = starts[last + 1] if last + 1 < len(starts) else len(text)
        start, end = _trimmed(text, start, end, inside)
        moved = [replace(span, start=span.start - start, end=span.end - start) for span in inside]
        yield _TextBlock(text[start:end], index + 1, moved)


def _trimmed(text: str, start: int, end: int, spans: Iterable[CharSpan]) -> tuple[int, int]:
    """Lines without their end, and without a byte-order mark, unless a span takes them in."""
    first = min((span.start for span in spans), default=end)
    last = max((span.end for span in spans), default=start)
    for mark in ("\n", "\r"):
        if end > max(start, last) and text[end - 1] == mark:
            end -= 1
    if start == 0 < first and text.startswith("\ufeff"):
        start = 1
    return start, end


def _joined(starts: list[int], spans: Iterable[CharSpan]) -> list[int]:
    """For each line the first of those that spans join it with."""
    joins = bytearray(len(starts))  # 1: the line belongs to the one before it
    for span in spans:
        first, last = bisect_right(starts, span.start), bisect_right(starts, span.end - 1)
        joins[first:last] = b"\1" * (last - first)
    found: list[int] = []
    for line, join in enumerate(joins):
        found.append(found[-1] if join else line)
    return found
