"""Read stored files of a model or a run, and turn every failure into one error that names the file.

Only regular files are opened: reading a named pipe would wait forever, reading a device would never end.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import Location, Problem, SltkError, UsageError
from .disk_space import is_disk_full
from .memory_shortage import is_out_of_memory

_EXHAUSTED = {errno.ENOMEM, errno.EMFILE, errno.ENFILE}
_HEADER_LIMIT = 100 * 2**20
"""Maximum bytes of a safetensors header, as the format defines it."""


def damaged(path: Path, reason: object, *notes: str) -> UsageError:
    """The error for a stored file that is not as sltk wrote it."""
    return UsageError(Problem(f"the file is damaged: {reason}", Location(str(path)), notes=notes))


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading, without waiting.

    Raises:
        FileNotFoundError: the file does not exist.
        UsageError: it is a folder, a pipe, a socket or a device, or cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(path, error.strerror or error) from error
    kind = irregular(os.fstat(descriptor).st_mode)
    if kind is not None:
        os.close(descriptor)
        raise damaged(path, f"expected a file, found {kind}")
    return io.BufferedReader(io.FileIO(descriptor))


def irregular(mode: int) -> str | None:
    """What is in the place of a regular file, such as `a folder`; None if it is one."""
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def visible(folder: Path, *, deep: bool = True) -> list[Path]:
    """Everything in a folder except hidden folders, such as `.git`; with `deep`, also in the folders below it."""
    if not deep:
        return sorted(folder.iterdir())
    paths: list[Path] = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(at, name) for name in (*folders, *files)]
    return sorted(paths)


def check_regular(folder: Path, *, deep: bool = True) -> None:
    """Check that a folder contains only files and folders, before a library opens them.

    Raises:
        UsageError: something is a pipe, a socket or a device; or a link leads nowhere.
    """
    for path in visible(folder, deep=deep):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise damaged(path, error.strerror or error) from error
        if not stat.S_ISDIR(mode) and (kind := irregular(mode)) is not None:
            raise damaged(path, f"expected a file, found {kind}")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UsageError: the file is missing, is not JSON, is nested too deeply, or is not an object.
    """
    value = _parse(path)
    if not isinstance(value, dict):
        raise damaged(path, "expected a JSON object")
    return value


def _parse(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            return json.loads(file.read())
    except FileNotFoundError as error:
        raise UsageError(Problem("the file is missing", Location(str(path)))) from error
    except RecursionError as error:
        raise damaged(path, "its JSON is nested too deeply") from error
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: for each tensor its `dtype`, `shape` and `data_offsets`.

    Raises:
        UsageError: the file is missing, truncated, or no safetensors file.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _HEADER_LIMIT):
                raise ValueError("it is truncated, or no safetensors file")
            header = json.loads(file.read(length))
            if not isinstance(header, dict):
                raise ValueError("it is no safetensors file")
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
            if size != 8 + length + max(ends, default=0):
                raise ValueError(
                    f"it has {size} bytes, and its header describes {8 + length + max(ends, default=0)}"
                )
            for entry in tensors.values():
                if not all(isinstance(number, int) and number >= 0 for number in entry["shape"]):
                    raise ValueError("its header has an invalid shape")
    except FileNotFoundError as error:
        raise UsageError(Problem("the file is missing", Location(str(path)))) from error
    except RecursionError as error:
        raise damaged(path, "its header is nested too deeply") from error
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise damaged(path, error) from error
    return tensors


_OBJECTS = frozenset(
    f"{name}.json"
    for name in (
        "adapter_config", "added_tokens", "config", "generation_config", "manifest", "special_tokens_map", "tokenizer",
        "tokenizer_config", "vocab",
    )
)  # fmt: skip
"""JSON files of models that contain an object; others may contain anything."""


def check_readable(folder: Path, *, deep: bool = True) -> None:
    """Read all JSON files and the headers of all safetensors files in a folder.

    Raises:
        UsageError: one of them is damaged; the error names it.
    """
    check_regular(folder, deep=deep)
    for path in visible(folder, deep=deep):
        if path.suffix == ".json":
            (read_json if path.name in _OBJECTS else _parse)(path)
        elif path.suffix == ".safetensors":
            read_header(path)


@contextmanager
def report_damage(path: Path) -> Iterator[None]:
    """Turn any error of a library that reads a file, or files of a folder, into a `UsageError` that names it.

    Errors about memory, disk space and missing packages are raised unchanged.
    """
    try:
        yield
    except BaseException as error:
        if not is_about_content(error):
            raise
        if path.is_dir():
            check_readable(path)  # names the file
        raise damaged(path, reason(error)) from error


def reason(error: BaseException) -> str:
    """The message of a library's error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def is_about_content(error: BaseException) -> bool:
    """Whether an error of a library may be about what a file contains, and not about memory, disk or packages."""
    if type(error).__name__ == "PanicException":  # of a library in Rust; no subclass of `Exception`
        return True
    return isinstance(error, Exception) and not _is_other(error)


def _is_other(error: Exception) -> bool:
    if isinstance(error, SltkError | ImportError) or is_out_of_memory(error) or is_disk_full(error):
        return True
    return isinstance(error, OSError) and error.errno in _EXHAUSTED
