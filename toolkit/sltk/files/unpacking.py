"""Unpack gzip, bzip2, xz and zip files as a stream; what a file holds decides, not its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError

UNPACKED_TIMES, UNPACKED_BYTES = 200, 64 << 20
"""A file that unpacks to more than both is refused.

Annotated text unpacks to about 10 times its size. A DocBin unpacks to about 30 times: a token is about ten numbers of
eight bytes, mostly zeros.
"""

_GZIP, _BZIP2, _XZ, _ZIP = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_BZIP2_BLOCK = slice(4, 10)
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError)
_OFFICE = ("[Content_Types].xml", "mimetype")
_SHOWN = 10


@contextmanager
def unpacked(source: io.BufferedReader, path: Path) -> Iterator[io.BufferedReader]:
    """The content of `source`: unpacked if it is compressed, otherwise `source` itself.

    Raises:
        DataError: a zip file does not have exactly one member, or is encrypted; on reading: the file is damaged, or
            unpacks to far more than its size.
    """
    head = source.peek(10)[:10]
    if head.startswith((_ZIP, _EMPTY_ZIP)):
        with _member(source, path) as (member, size):
            yield io.BufferedReader(_Unpacked(member, _Packed(size), path, "zip"))
        return
    packed = _Counted(source)
    stream: Any
    if head.startswith(_GZIP):
        stream, kind = gzip.open(packed), "gzip"  # type: ignore[call-overload]  # noqa: SIM115
    elif head.startswith(_XZ):
        stream, kind = lzma.open(packed), "xz"  # type: ignore[call-overload]  # noqa: SIM115
    elif head.startswith(_BZIP2) and head[_BZIP2_BLOCK] == b"1AY&SY":
        stream, kind = bz2.open(packed), "bzip2"  # type: ignore[call-overload]  # noqa: SIM115
    else:
        yield source
        return
    with stream:
        yield io.BufferedReader(_Unpacked(stream, packed, path, kind))


class _Packed:
    """The number of bytes that the unpacked ones come from."""

    def __init__(self, size: int = 0) -> None:
        self.size = size


class _Counted(_Packed):
    """The packed file; counts what is read of it."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self.source = source

    def read(self, size: int = -1) -> bytes:
        """Read bytes."""
        data = self.source.read(size)
        self.size += len(data)
        return data

    def seekable(self) -> bool:
        """A stream is unpacked once, from its beginning."""
        return False

    def readable(self) -> bool:
        """Whether bytes can be read."""
        return True

    def seek(self, *_: int) -> int:
        """Not available."""
        raise io.UnsupportedOperation("seek")

    tell = seek


class _Unpacked(io.RawIOBase):
    """The unpacked bytes; errors of the libraries become errors of the file."""

    def __init__(self, stream: Any, packed: _Packed, path: Path, kind: str) -> None:
        self._stream, self._packed, self._path, self._kind = stream, packed, path, kind
        self._size = 0

    def readable(self) -> bool:
        """Whether bytes can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack the next bytes."""
        try:
            data = self._stream.read(len(buffer))
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk, not the content
            raise DataError.at(f"damaged {self._kind} file: {_reason(error)}", self._path) from error
        self._size += len(data)
        check_unpacked_size(self._size, self._packed.size, self._path)
        buffer[: len(data)] = data
        return len(data)


def check_unpacked_size(size: int, packed: int, path: Path) -> None:
    """Refuse a small file that is made to fill the memory or the time of its reader.

    Raises:
        DataError: the file unpacks to far more than its size.
    """
    if size > max(UNPACKED_BYTES, UNPACKED_TIMES * packed):
        message = f"refused: the file unpacks to more than {UNPACKED_TIMES} times its size"
        raise DataError.at(message, path, None, "if you trust it, unpack it yourself")


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "its end is missing"
    return str(error) or type(error).__name__


@contextmanager
def _member(source: io.BufferedReader, path: Path) -> Iterator[tuple[Any, int]]:
    """The only file in a zip file, and its packed size."""
    if not source.seekable():
        raise DataError.at(
            "a zip file cannot be read from a pipe", path, None, "unpack it: `unzip -p FILE |`"
        )
    with _zip_errors(path):
        archive = zipfile.ZipFile(source)
    with archive:
        info = _only_file(archive, path)
        with _zip_errors(path):
            member = archive.open(info)
        with member:
            yield member, info.compress_size


@contextmanager
def _zip_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        *_DAMAGED,
        struct.error,
        LookupError,
        NotImplementedError,
    ) as error:  # also an unknown compression
        raise DataError.at(f"damaged zip file: {_reason(error)}", path) from error


def _only_file(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    # macOS adds its own folder to the zip files that it makes.
    files = [
        each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")
    ]
    names = [each.filename for each in files]
    if names and names[0] in _OFFICE:
        message = "this looks like an office document (docx, xlsx, odt, epub), which is a zip file"
        raise DataError.at(message, path, None, "save its text as a plain text file")
    if len(files) != 1:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        message = f"a zip file with {len(files)} files: expected one"
        note = (
            f"its files: {shown}; unpack it, and give the folder or one of them" if files else "it is empty"
        )
        raise DataError.at(message, path, None, note)
    if files[0].flag_bits & 1:
        raise DataError.at("an encrypted zip file", path, None, "unpack it first")
    return files[0]
