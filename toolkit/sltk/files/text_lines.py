"""Read lines of text files: encodings, byte-order marks, and bytes that cannot be decoded.

Lines end only at `\n` or `\r\n`, so line numbers are those of an editor, and other control characters are part of
their line.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from ..errors import DataError, nearest
from ..types import Unused

EncodingErrors = Literal["strict", "replace"]

# UTF-32 comes before UTF-16 because its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# No codec decodes valid text to lone low surrogates, so they can stand for undecodable bytes.
_UNDECODABLE = re.compile("[\udc00-\udcff]")


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error("sltk.mark", _mark_undecodable)


class TextLines:
    """The lines of a file as `(number, text)`, with numbers from 1 and without line ends.

    With `raw`, lines keep their ends, and the first line a byte-order mark of UTF-8, because every character counts.

    Raises (on iteration):
        DataError: the file is missing, a folder or unreadable, or a line cannot be decoded.
    """

    def __init__(
        self, path: Path, encoding: str = "utf-8", errors: EncodingErrors = "strict", *, raw: bool = False
    ) -> None:
        self.path, self.encoding, self.errors, self.raw = path, encoding, errors, raw
        self._replacements: list[Unused] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        self._replacements.clear()
        with open_binary(self.path) as source:
            encoding = _encoding_of(source, self.encoding)
            unmarked = _utf16_without_mark(source) if codecs.lookup(encoding).name == "utf-8" else None
            if unmarked:
                message = f"this looks like {unmarked.upper()} without a byte-order mark"
                raise DataError.at(message, self.path, 1, f"set `encoding: {unmarked}`")
            if self.raw and encoding == "utf-8-sig":
                encoding = "utf-8"
            # newline="\n", because universal newlines would split lines at a single "\r".
            text = io.TextIOWrapper(source, encoding=encoding, errors="sltk.mark", newline="\n")
            try:
                for number, line in enumerate(text, 1):
                    if line.endswith("\n") and not self.raw:
                        line = line[:-2] if line.endswith("\r\n") else line[:-1]
                    if not line.isascii() and _UNDECODABLE.search(line):
                        line = self._replace_undecodable(number, line)
                    yield number, line
            except OSError as error:
                raise DataError.at(f"cannot read the file: {error.strerror or error}", self.path) from error
            finally:
                text.detach()

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
        reason = f"{count} byte sequence(s) not {encoding}, replaced by U+FFFD"
        self._replacements.append(Unused(str(self.path), number, reason))
        return line

    def take_replacements(self) -> tuple[Unused, ...]:
        """The replacements since the last call, in the lines returned so far."""
        replacements = tuple(self._replacements)
        self._replacements.clear()
        return replacements


def read_text(
    path: Path, encoding: str = "utf-8", errors: EncodingErrors = "strict", *, raw: bool = False
) -> tuple[str, tuple[Unused, ...]]:
    """Read a file with `\n` between lines; also returns the replacements.

    With `raw`, the text is returned character by character, for offsets that count all of them.

    Raises:
        DataError: see `TextLines`.
    """
    lines = TextLines(path, encoding, errors, raw=raw)
    return ("" if raw else "\n").join(line for _, line in lines), lines.take_replacements()


@contextmanager
def open_binary(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file to read bytes; `-` is standard input.

    Raises:
        DataError: the file does not exist, or cannot be opened.
    """
    if str(path) == "-":
        yield _buffered(sys.stdin.buffer)
        return
    try:
        source = open(path, "rb")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise _unreadable(path, error) from error
    with source:
        yield source


def _buffered(source: BinaryIO) -> io.BufferedReader:
    return source if isinstance(source, io.BufferedReader) else io.BufferedReader(source)  # type: ignore[arg-type]


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, IsADirectoryError):
        return DataError.at("this is a folder, not a file", path)
    if isinstance(error, FileNotFoundError):
        return DataError.at("no such file", path, None, *missing_file_notes(path))
    return DataError.at(f"cannot open the file: {error.strerror or error}", path)


def missing_file_notes(path: Path) -> tuple[str, ...]:
    """A note for a missing file: a file with a similar name in the same folder, or that its folder is missing too."""
    if not path.parent.is_dir():
        return (f"there is no folder `{path.parent}` either",)
    similar = nearest(path.name, [item.name for item in path.parent.iterdir()])
    return (f"did you mean `{path.parent / similar}`?",) if similar else ()


def _encoding_of(source: io.BufferedReader, encoding: str) -> str:
    start = source.peek(4)[:4]
    return next((name for mark, name in _MARKS if start.startswith(mark)), encoding)


def _utf16_without_mark(source: io.BufferedReader) -> str | None:
    """The encoding of text in which every second byte is zero; in UTF-8, it would be letters and NULs."""
    zeros = [byte == 0 for byte in source.peek(4)[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else None
