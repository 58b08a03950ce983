"""The `brat` writer: a text file, and a file of annotations of its characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from pydantic import Field

from ...errors import DataError, UsageError
from ...files import atomic
from ...files.safety import cell, encodable
from ...files.writable import check_file, check_folder
from ...types import Prediction, Sentence, Unused
from ..registry import register
from ..slots import Writer
from .highlights import Highlight, change, highlights, text_and_offsets

_SUFFIXES = (".txt", ".ann")
"""The endings of a pair of files, that of the text first."""


@register.writer("brat")
class BratWriter(Writer):
    """brat standoff: a folder with one .txt and one .ann file per document, or one pair if the name ends in .txt.

    A sentence is a line. A line end in a word becomes a symbol, ␊ or ␍; between words it is kept if a span
    crosses it, and becomes a space otherwise. Plain tags are spans of one word. Scores are not written.
    """

    spaces: str | None = Field(
        default=None,
        pattern=r"^[^\s]*$",
        description="replacement of white space in types, which brat does not allow; unset: an error",
    )

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Not available: the output is several files.

        Raises:
            UsageError: always; use `save` instead.
        """
        raise UsageError(
            "the writer `brat` writes several files: the output must be a folder, or a file that ends in .txt"
        )

    def check_place(self, path: Path) -> None:
        """Check that the output can be written: a pair of files may be replaced, a folder must be new.

        Raises:
            UsageError: `path` is a file, or a folder that is not empty.
        """
        if path.suffix in _SUFFIXES:
            check_file(path)
        elif path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise UsageError(f"`{path}` exists already: the writer `brat` creates a new folder")
        else:
            check_folder(path)

    def outputs(self, path: Path) -> list[Path]:
        """The files of a pair; a folder must be new."""
        return [path.with_suffix(suffix) for suffix in _SUFFIXES] if path.suffix in _SUFFIXES else []

    def save(self, predictions: Iterable[Prediction], path: Path) -> None:
        """Write a pair of files, or a new folder with a pair for each document.

        Raises:
            UsageError: `path` is a file, or a folder that is not empty.
            DataError: a type contains white space, and `spaces` is unset.
        """
        self.check_place(path)
        if path.suffix in _SUFFIXES:
            text_path, annotation_path = self.outputs(path)
            with atomic.open_text(text_path) as text, atomic.open_text(annotation_path) as annotations:
                pair = _Pair(text, annotations, self.spaces)
                for prediction in predictions:
                    pair.add(prediction)
            return
        with atomic.new_folder(path) as folder, ExitStack() as files:
            documents = _Documents(folder, files, self.spaces)
            for prediction in predictions:
                documents.pair(prediction.sentence.document).add(prediction)

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Words with line ends."""
        for word in prediction.words:
            if "\n" in word or "\r" in word:
                yield change(prediction.sentence, f"`{cell(word)}` has a line end, written as a symbol")


class _Pair:
    """A text file and its annotation file, open for writing."""

    def __init__(self, text: TextIO, annotations: TextIO, spaces: str | None) -> None:
        self.text, self.annotations, self.spaces = text, annotations, spaces
        self._length = 0  # characters written to the text
        self._spans = 0  # spans written

    def add(self, prediction: Prediction) -> None:
        """Write a sentence."""
        spans = highlights(prediction, whole=True)
        line = _line(prediction, spans)
        if not self._length and line.startswith("\ufeff"):
            self._write("\ufeff")  # readers treat the first one of a file as a byte-order mark
        base = self._length
        self._write(line + "\n")
        for span in spans:
            self._spans += 1
            type_ = self._type(span.type, prediction.sentence)
            self.annotations.write(_annotation(self._spans, span, type_, line, base))

    def _type(self, type_: str, sentence: Sentence) -> str:
        """The type with white space replaced."""
        if not re.search(r"\s", type_):
            return type_
        if self.spaces is None:
            message = f"the type `{type_}` contains white space, which brat does not allow"
            advice = "`--writer-option spaces=_` replaces it with `_`"
            raise DataError.at(message, sentence.file or "(input)", sentence.line, advice)
        return re.sub(r"\s", self.spaces, type_)

    def _write(self, text: str) -> None:
        self.text.write(text)
        self._length += len(text)


class _Documents:
    """The pairs of files in a folder; only the last one written to is open."""

    def __init__(self, folder: Path, files: ExitStack, spaces: str | None) -> None:
        self._folder, self._files, self._spaces = folder, files, spaces
        self._pairs: dict[str | None, _Pair] = {}
        self._names: dict[str | None, str] = {}
        self._open: str | None = None

    def pair(self, document: str | None) -> _Pair:
        """The pair of a document, opened again if another document was written in between."""
        if document not in self._pairs or document != self._open:
            self._files.close()
            name = self._names.setdefault(document, self._new_name(document or "document"))
            text, annotations = (self._file(f"{name}{suffix}") for suffix in (".txt", ".ann"))
            pair = self._pairs.setdefault(document, _Pair(text, annotations, self._spaces))
            pair.text, pair.annotations = text, annotations
            self._open = document
        return self._pairs[document]

    def _file(self, name: str) -> TextIO:
        return self._files.enter_context((self._folder / name).open("a", encoding="utf-8", newline="\n"))

    def _new_name(self, document: str) -> str:
        """A file name that no other document has, even if case is ignored."""
        base = re.sub(r"[^\w.-]+", "_", document)[:100].strip(".") or "document"
        taken = {name.casefold() for name in self._names.values()}
        name, number = base, 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        return name


def _line(prediction: Prediction, spans: list[Highlight]) -> str:
    """The text of a sentence without line ends, except those that a span crosses; its length is unchanged."""
    text, offsets = text_and_offsets(prediction)
    pieces, done = [], 0
    for start, end in offsets:
        pieces += [
            _between(text, done, start, spans),
            re.sub("[\n\r]", lambda match: cell(match[0]), text[start:end]),
        ]
        done = end
    return encodable("".join([*pieces, _between(text, done, len(text), spans)]))


def _between(text: str, start: int, end: int, spans: list[Highlight]) -> str:
    """The text between two words; no span ends there, so one that begins before it crosses it."""
    gap = text[start:end]
    if ("\n" in gap or "\r" in gap) and not any(span.start < start and end < span.end for span in spans):
        return re.sub("[\n\r]", " ", gap)
    return gap


def _annotation(number: int, span: Highlight, type_: str, line: str, base: int) -> str:
    """The line of one span; one that is discontinuous or crosses lines is written in parts, as brat does."""
    parts = [
        (start + match.start(), start + match.end())
        for start, end in span.parts or ((span.start, span.end),)
        for match in re.finditer("[^\n]+", line[start:end])
    ]
    places = ";".join(f"{base + start} {base + end}" for start, end in parts)
    quoted = " ".join(line[start:end] for start, end in parts)
    return f"T{number}\t{type_} {places}\t{quoted}\n"
