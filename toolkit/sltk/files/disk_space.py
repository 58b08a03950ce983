"""Recognize a full disk behind any error of a library, and name the file system and the folder."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DiskFullError, InputError, RunError

_SHORTAGES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MESSAGES = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
}
_RUST_ERROR = re.compile(r"\(os error ([0-9]+)\)")
_PROBE = 64 * 1024
"""Bytes that a folder must still have room for. A library that runs out of space has filled the disk to less."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an exception, or any of its causes, says that the disk is full."""
    return _reported_shortage(error) is not None


@contextmanager
def disk_errors(folder: Path, advice: str = "") -> Iterator[None]:
    """Replace an error raised inside by `DiskFullError` if the disk is full; `folder` is where the code inside writes.

    `advice` is a second line for the message.

    The libraries that write weights report a full disk in many ways, some without saying so. So besides the error
    number and the message, the folder is tried: has it room for a small file?

    Raises:
        DiskFullError: the disk is full; it names the file system and the folder.
    """
    try:
        yield
    except DiskFullError as error:
        if not advice or advice in str(error):
            raise
        raise DiskFullError(f"{error}\n   = {advice}", error.errno) from error
    except InputError:
        raise
    except Exception as error:
        code = _reported_shortage(error)
        if code is None and not isinstance(error, RunError):
            code = shortage(folder) or _reached_limit(folder)
        if code is None:
            raise
        raise _disk_full(code, error, folder, advice) from error


def disk_full_error(error: BaseException, folder: Path) -> DiskFullError:
    """The error to raise for one for which `is_disk_full` is true; `folder` is where was written."""
    return _disk_full(_reported_shortage(error) or errno.ENOSPC, error, folder)


def _disk_full(code: int, error: BaseException, folder: Path, advice: str = "") -> DiskFullError:
    description = _description(code, folder if code == errno.EFBIG else _folder_of(error, folder))
    return DiskFullError(f"{description}\n   = {advice}" if advice else description, code)


def shortage(folder: Path) -> int | None:
    """The error number that a small file in the folder fails with for lack of space; None if there is room."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder), buffering=0) as file:
            written = file.write(os.urandom(_PROBE))
            if written is not None and written < _PROBE:
                file.write(b"x")  # what did not fit raises now
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno if error.errno in _SHORTAGES else None
    return None


def _reached_limit(folder: Path) -> int | None:
    """`EFBIG` if a file in the folder is as large as this process may make it (`ulimit -f`)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return errno.EFBIG if any(_size(path) >= limit for path in _existing(folder).rglob("*")) else None


def _reported_shortage(error: BaseException | None) -> int | None:
    """The error number of a full disk that an exception or its causes report; None if they report something else."""
    while error is not None:
        code = getattr(error, "errno", None)
        if code in _SHORTAGES:
            return int(code)
        text = str(error)
        named = [code for message, code in _MESSAGES.items() if message in text]
        named += [int(number) for number in _RUST_ERROR.findall(text) if int(number) in _SHORTAGES]
        if named:
            return named[0]
        error = error.__cause__ or error.__context__
    return None


def _folder_of(error: BaseException | None, folder: Path) -> Path:
    """The folder that is full: that of the file in the error, the one that is written to, or the temporary one."""
    candidates = [folder, Path(tempfile.gettempdir())]
    while error is not None:
        name = getattr(error, "filename", None)
        if isinstance(name, str) and os.path.isabs(name):
            candidates.insert(0, Path(name).parent)
        error = error.__cause__ or error.__context__
    return next((each for each in candidates if shortage(each) is not None), candidates[0])


def _description(code: int, folder: Path) -> str:
    existing = _existing(folder)
    mount = next(each for each in (existing, *existing.parents) if os.path.ismount(each))
    free = ""
    with suppress(OSError):
        free = f", with {shutil.disk_usage(existing).free / 2**20:,.1f} MiB free"
    return f"{os.strerror(code)}: cannot write in `{folder}`, on the file system `{mount}`{free}"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = Path(os.path.realpath(folder))
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
