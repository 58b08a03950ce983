"""Standard streams: all output of the command line goes through this module, so that every line of it is safe.

Text for people is shown: control characters become symbols such as ␛, so that no tag, type or file name can control
the terminal. Data is written byte for byte, except to a terminal. Both are UTF-8 in every locale; only a terminal
with another encoding gets that one. `SafeConsole` in rich_console.py does the same for tables and progress bars.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TextIO

import typer

from ..errors import RunError
from ..files.safety import printable

_DUMB = ("dumb", "unknown")
_is_stored = ContextVar("_is_stored", default=False)


class OutputClosedError(Exception):
    """Nobody reads standard output; `exit_code` is that of a command whose result is lost."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def prepare() -> None:
    """Make the standard streams ready: UTF-8, and no other file can take the place of a closed one."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            _occupy(number)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def _occupy(number: int) -> None:
    """Open the null device as this file descriptor, unless it is open."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


def is_styled(stream: TextIO | None) -> bool:
    """Whether text on this stream may have colours: on a terminal that has them, unless the user wants none."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in _DUMB
    return stream is not None and stream.isatty() and not is_plain


def print_result(text: str) -> None:
    """Show a line on standard output.

    Raises:
        OutputClosedError: nobody reads standard output.
        RunError: it cannot be written, for example because the disk is full.
    """
    Output().write(printable(text, keep="\n") + "\n")


def print_info(text: str) -> None:
    """Show a line on standard error, if anybody reads it."""
    Output(is_error=True).write(printable(text, keep="\n") + "\n")


def print_diagnostic(text: str) -> None:
    """Show an error or a warning on standard error, its first word in colour if the terminal has colours."""
    text = printable(text, keep="\n")
    if is_styled(sys.stderr):
        for word, color in (("error:", "red"), ("warning:", "yellow")):
            text = re.sub(f"^{word}", typer.style(word, fg=color, bold=True), text, flags=re.MULTILINE)
    Output(is_error=True).write(text + "\n")


def write_data(pieces: Iterable[str], *, is_safe: bool = False) -> None:
    """Write data to standard output as it arrives: every byte of it, in UTF-8.

    On a terminal, control characters except tabs and line feeds become symbols, unless `is_safe` says that all of
    them are meant for the terminal.

    Raises:
        OutputClosedError: nobody reads standard output.
        RunError: it cannot be written, for example because the disk is full.
    """
    output = Output()
    for piece in pieces:
        if output.isatty():
            output.write(piece if is_safe else printable(piece, keep="\n\t"))
        else:
            output.write_bytes(piece)


@contextmanager
def results_are_stored() -> Iterator[None]:
    """For output that only repeats what is on disk: a closed standard output does not fail the command."""
    token = _is_stored.set(True)
    try:
        yield
    finally:
        _is_stored.reset(token)


class Output(io.TextIOBase):
    """Standard output or standard error as a file.

    Failures to write to standard output end the command; failures to write to standard error do not, because nobody
    would read about them.
    """

    def __init__(self, *, is_error: bool = False) -> None:
        self._is_error = is_error
        self._stream: TextIO | None = sys.stderr if is_error else sys.stdout

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        """The file descriptor."""
        if self._stream is None:
            raise io.UnsupportedOperation
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Write text, and flush it."""
        return self._deliver(text, exact=False)

    def write_bytes(self, text: str) -> int:
        """Write text in UTF-8, whatever the encoding of the stream is."""
        return self._deliver(text, exact=True)

    def _deliver(self, text: str, *, exact: bool) -> int:
        if self._stream is None or self._stream.closed:
            self._fail(OutputClosedError("standard output is closed", 1))
            return len(text)
        try:
            buffer = getattr(self._stream, "buffer", None) if exact else None
            if buffer is None:
                self._stream.write(text)
            else:
                buffer.write(text.encode())
            self._stream.flush()
        except OSError as error:
            _abandon(self._stream)
            self._fail(_undelivered(error))
        return len(text)

    def _fail(self, error: Exception) -> None:
        is_needed = not self._is_error and not (_is_stored.get() and isinstance(error, OutputClosedError))
        if is_needed:
            raise error


def _undelivered(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return OutputClosedError(
            "nobody reads standard output any more", 141
        )  # as if the signal SIGPIPE ended it
    return RunError(f"cannot write to standard output: {error.strerror or error}")


def _abandon(stream: TextIO) -> None:
    """Discard everything that this stream still holds: Python would try to write it, and fail, when it ends."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
