"""Lines of text files: encodings, byte-order marks, and what to do with bytes that are no text.

Knows no format. Lines end at `\n` or `\r\n` and nowhere else, so that a line number is the one an editor
shows and a control character inside a line stays inside it.
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

# Longest first: the UTF-32 mark begins with the UTF-16 one.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# No codec yields lone low surrogates of valid text, so one can stand for a byte that is none.
_BAD = re.compile("[\udc00-\udcff]")


def _mark_bad(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error("sltk.mark", _mark_bad)


class TextLines:
    """The lines of one file, as `(number, text)` with numbers from 1 and without line ends.

    Raises (on iteration):
        DataError: the file is missing, a folder or unreadable, or a line is not text in the encoding.
    """

    def __init__(
        self, path: Path, encoding: str = "utf-8", errors: EncodingErrors = "strict", *, raw: bool = False
    ) -> None:
        """`raw` lines keep their ends, and the first one a byte-order mark of UTF-8: every character counts."""
        self.path, self.encoding, self.errors, self.raw = path, encoding, errors, raw
        self._replaced: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        self._replaced.clear()
        with open_binary(self.path) as source:
            encoding = _encoding_of(source, self.encoding)
            unmarked = _utf16_without_mark(source) if codecs.lookup(encoding).name == "utf-8" else None
            if unmarked:
                message = f"this looks like {unmarked.upper()} without a byte-order mark"
                raise DataError.at(message, self.path, 1, f"set `encoding: {unmarked}`")
            if self.raw and encoding == "utf-8-sig":
                encoding = "utf-8"
            # newline="\n": no translation; universal newlines would cut lines at a lone "\r".
            text = io.TextIOWrapper(source, encoding=encoding, errors="sltk.mark", newline="\n")
            try:
                for number, line in enumerate(text, 1):
                    if line.endswith("\n") and not self.raw:
                        line = line[:-2] if line.endswith("\r\n") else line[:-1]
                    if not line.isascii() and _BAD.search(line):
                        line = self._without_bad(number, line)
                    yield number, line
            except OSError as error:
                raise DataError.at(f"cannot read the file: {error.strerror or error}", self.path) from error
            finally:
                text.detach()

    def _without_bad(self, number: int, line: str) -> str:
        if self.errors == "strict":
            found = _BAD.search(line)
            assert found is not None
            raise DataError.at(
                f"byte 0x{ord(found.group()) - 0xDC00:02x} after {found.start()} characters is not "
                f"{_shown(self.encoding)}",
                self.path,
                number,
                "set `encoding` to what the file is in, or `encoding_errors: replace` to go on with U+FFFD",
            )
        line, count = _BAD.subn("\ufffd", line)
        self._replaced.append((number, count))
        return line

    def take_replaced(self) -> tuple[Unused, ...]:
        """What was replaced in the lines given out since this was last asked."""
        if not self._replaced:
            return ()
        taken = tuple(
            Unused(
                str(self.path),
                number,
                f"{count} byte sequence(s) not {_shown(self.encoding)}, replaced by U+FFFD",
            )
            for number, count in self._replaced
        )
        self._replaced.clear()
        return taken


def read_text(
    path: Path, encoding: str = "utf-8", errors: EncodingErrors = "strict", *, raw: bool = False
) -> tuple[str, tuple[Unused, ...]]:
    """The whole text of a file with `\n` between lines, and what was replaced in it.

    With `raw` it is the text character by character, for offsets that count all of them.

    Raises:
        DataError: as `TextLines`.
    """
    lines = TextLines(path, encoding, errors, raw=raw)
    return ("" if raw else "\n").join(line for _, line in lines), lines.take_replaced()


@contextmanager
def open_binary(path: Path) -> Iterator[io.BufferedReader]:
    """A file opened to read bytes; `-` is standard input.

    Raises:
        DataError: there is no such file, or it cannot be opened.
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
        return DataError.at("this is a folder; a file is needed", path)
    if isinstance(error, FileNotFoundError):
        return DataError.at("no such file", path, None, *near(path))
    return DataError.at(f"cannot open the file: {error.strerror or error}", path)


def near(path: Path) -> tuple[str, ...]:
    """A note on the missing file's neighbour of nearly the same name, or on the missing folder."""
    if not path.parent.is_dir():
        return (f"there is no folder `{path.parent}` either",)
    similar = nearest(path.name, [item.name for item in path.parent.iterdir()])
    return (f"did you mean `{path.parent / similar}`?",) if similar else ()


def _encoding_of(source: io.BufferedReader, encoding: str) -> str:
    start = source.peek(4)[:4]
    return next((name for mark, name in _MARKS if start.startswith(mark)), encoding)


def _utf16_without_mark(source: io.BufferedReader) -> str | None:
    """The encoding of text whose first letters alternate with zeros; as UTF-8 it would be letters and NULs."""
    zeros = [byte == 0 for byte in source.peek(4)[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else None


def _shown(encoding: str) -> str:
    return "valid " + encoding.upper()
