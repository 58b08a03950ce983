"""Open data files: regular files and standard input only, unpacked, and checked for content of another kind."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError, nearest
from .damage import irregular
from .sniffing import HEAD, Content, unexpected
from .unpacking import unpacked

_STREAM = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")
"""Streams that are open already, such as bash's `<(command)`: they do not wait for a writer."""


@contextmanager
def open_binary(path: Path, content: Content = "binary") -> Iterator[io.BufferedReader]:
    """Open a data file to read bytes, which are unpacked if it is compressed; `-` is standard input.

    Raises:
        DataError: the file does not exist, cannot be opened, is a pipe or device, or has content of another kind.
    """
    with _opened(path) as packed, unpacked(packed, path) as source:
        look = unexpected(source.peek(HEAD)[:HEAD], content)
        if look is not None:
            notes = (look.advice,) if look.advice else ()
            raise DataError.at(f"this looks like {look.name}", path, None, *notes)
        yield source


def is_stream(path: Path) -> bool:
    """Whether the path names standard input or another open stream, which can be read only once."""
    return str(path) == "-" or _STREAM.fullmatch(str(path)) is not None


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    if str(path) == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise DataError.at("standard input is closed", path)
        yield _buffered(sys.stdin.buffer)
        return
    with open_regular(path) as source:
        yield source


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file to read bytes. Pipes, sockets and devices are refused: reading them could wait for ever.

    Raises:
        DataError: the file does not exist, cannot be opened, or is not a regular file.
    """
    try:
        check_regular(path, path.stat())
        # Without waiting, in case the file has become a pipe since.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        source = open(descriptor, "rb")  # noqa: SIM115  (closed by the caller)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        check_regular(path, os.fstat(descriptor))
        os.set_blocking(descriptor, True)
    except BaseException:
        source.close()
        raise
    return source


def check_regular(path: Path, status: os.stat_result) -> None:
    """Check that a path is a file, not a folder, pipe, socket or device; open streams such as `<(command)` are allowed.

    Raises:
        DataError: it is something else.
    """
    if stat.S_ISDIR(status.st_mode):
        raise DataError.at("this is a folder, not a file", path)
    kind = irregular(status.st_mode)
    if kind is not None and not _STREAM.fullmatch(str(path)):
        raise DataError.at(
            f"this is {kind}, not a file", path, None, "`-` reads standard input: `command | sltk … -`"
        )


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
