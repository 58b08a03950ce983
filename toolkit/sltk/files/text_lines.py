"""Read lines of text files: encodings, byte-order marks, line ends, and bytes that cannot be decoded.

Lines end at `\n` or `\r\n`, or at `\r` in a file without `\n`, so line numbers are those of an editor. Other control
characters are part of their line.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ..errors import DataError
from ..types import Unused
from .opening import missing_file_notes, open_binary
from .sniffing import HEAD, Content, markup

EncodingErrors = Literal["strict", "replace"]

# UTF-32 comes before UTF-16 because its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK = "\ufeff"
# No codec decodes valid text to lone low surrogates, so they can stand for undecodable bytes.
_UNDECODABLE = re.compile("[\udc00-\udcff]")


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error("sltk.mark", _mark_undecodable)


class TextLines:
    """The lines of a file as `(number, text)`, with numbers from 1 and without line ends.

    `content` is what the reader expects: files that look like something else are errors, and with `columns`, so is a
    single carriage return inside a line. A byte-order mark at the start of any line is removed and reported.

    With `raw`, lines keep their ends, and the first line a byte-order mark of UTF-8, because every character counts.

    Raises (on iteration):
        DataError: the file is missing, a folder, unreadable or of another kind, or a line cannot be decoded.
    """

    def __init__(
        self,
        path: Path,
        encoding: str = "utf-8",
        errors: EncodingErrors = "strict",
        *,
        raw: bool = False,
        content: Content = "columns",
    ) -> None:
        self.path, self.encoding, self.errors = path, encoding, errors
        self.raw, self.content = raw, content
        self._changes: list[Unused] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        with self._opened() as text:
            for number, line in enumerate(text, 1):
                if not self.raw:
                    line = line.removesuffix("\n")
                    if "\r" in line:
                        line = self._without_cr(number, line)
                if not line.isascii():
                    line = self._repaired(number, line)
                yield number, line

    def pieces(self, size: int) -> Iterator[str]:
        """The lines with their ends; a line of more than `size` characters comes in pieces of that size.

        Raises:
            DataError: as on iteration.
        """
        with self._opened() as text:
            number, is_start = 1, True
            while piece := text.readline(size):
                is_end = piece.endswith("\n")
                if not piece.isascii():
                    piece = self._repaired(number, piece, is_start)
                if piece:
                    yield piece
                number, is_start = number + is_end, is_end

    @contextmanager
    def _opened(self) -> Iterator[io.TextIOWrapper]:
        self._changes.clear()
        with open_binary(self.path, self.content) as source:
            encoding = _encoding_of(source, self.encoding)
            unmarked = _utf16_without_mark(source) if codecs.lookup(encoding).name == "utf-8" else None
            if unmarked:
                message = f"this looks like {unmarked.upper()} without a byte-order mark"
                raise DataError.at(message, self.path, 1, f"set `encoding: {unmarked}`")
            if self.raw and encoding == "utf-8-sig":
                encoding = "utf-8"
            if self.content == "text" and not self.raw:
                self._report_markup(source.peek(HEAD)[:HEAD])
            # Universal newlines (None) split lines at any "\r", so they are left to files that have no "\n".
            newline = None if not self.raw and _ends_lines_with_cr(source, encoding) else "\n"
            text = io.TextIOWrapper(source, encoding=encoding, errors="sltk.mark", newline=newline)
            try:
                yield text
            except OSError as error:
                raise DataError.at(f"cannot read the file: {error.strerror or error}", self.path) from error
            finally:
                text.detach()

    def _without_cr(self, number: int, line: str) -> str:
        """The line without the carriage returns at its end, of which conversions leave several."""
        line = line.rstrip("\r")
        if self.content == "columns" and "\r" in line:
            place = line.index("\r")
            message = f"a carriage return (\\r) after {place} characters, inside a line: line ends are mixed"
            raise DataError.at(message, self.path, number, "end all lines with \\n, \\r\\n, or all with \\r")
        return line

    def _repaired(self, number: int, line: str, is_start: bool = True) -> str:
        """The line without a byte-order mark at its start, and without undecodable bytes."""
        if is_start and line[0] == _MARK and not self.raw:
            line = line.lstrip(_MARK)
            self._report(
                number, "a byte-order mark at the start of this line, removed: are these files joined?"
            )
        if _UNDECODABLE.search(line):
            line = self._replace_undecodable(number, line)
        return line

    def _replace_undecodable(self, number: int, line: str) -> str:
        encoding = f"valid {self.encoding.upper()}"
        match = _UNDECODABLE.search(line)
        if self.errors == "strict" and match is not None:
            raise DataError.at(
                f"byte 0x{ord(match.group()) - 0xDC00:02x} after {match.start()} characters is not {encoding}",
                self.path,
                number,
                "set `encoding` to the encoding of the file, or `encoding_errors: replace` to insert U+FFFD",
            )
        line, count = _UNDECODABLE.subn("\ufffd", line)
        self._report(number, f"{count} byte sequence(s) not {encoding}, replaced by U+FFFD")
        return line

    def _report_markup(self, head: bytes) -> None:
        look = markup(head)
        if look is not None:
            self._report(1, f"this file looks like {look.name}, and is read as plain text")

    def _report(self, number: int, reason: str) -> None:
        self._changes.append(Unused(str(self.path), number, reason, adjusted=True))

    def take_replacements(self) -> tuple[Unused, ...]:
        """The changes since the last call, in the lines returned so far."""
        changes = tuple(self._changes)
        self._changes.clear()
        return changes


def read_text(
    path: Path,
    encoding: str = "utf-8",
    errors: EncodingErrors = "strict",
    *,
    raw: bool = False,
    content: Content = "text",
) -> tuple[str, tuple[Unused, ...]]:
    """Read a file with `\n` between lines; also returns the changes to them.

    With `raw`, the text is returned character by character, for offsets that count all of them.

    Raises:
        DataError: see `TextLines`.
    """
    lines = TextLines(path, encoding, errors, raw=raw, content=content)
    return ("" if raw else "\n").join(line for _, line in lines), lines.take_replacements()


def _encoding_of(source: io.BufferedReader, encoding: str) -> str:
    start = source.peek(4)[:4]
    return next((name for mark, name in _MARKS if start.startswith(mark)), encoding)


def _utf16_without_mark(source: io.BufferedReader) -> str | None:
    """The encoding of text in which every second byte is zero; in UTF-8, it would be letters and NULs."""
    zeros = [byte == 0 for byte in source.peek(4)[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else None


def _ends_lines_with_cr(source: io.BufferedReader, encoding: str) -> bool:
    """Whether lines end with `\r` alone, as far as one can see."""
    start = source.peek(HEAD).decode(encoding, errors="ignore").rstrip("\r")  # the next byte may be "\n"
    return "\r" in start and "\n" not in start


__all__ = ["EncodingErrors", "TextLines", "missing_file_notes", "open_binary", "read_text"]
