"""Where converted GGUF files are, and how large they are. Imports neither torch nor transformers."""

from __future__ import annotations

import errno
import shutil
from importlib.metadata import version
from pathlib import Path

from ...errors import DiskFullError
from ...families.gguf_header import GgufHeader
from ...files import manifest
from ...files.file_digests import cache_folder, sha256

_DIGITS = 24


def conversion_folder(path: Path, number_format: str, transformers: str) -> Path | None:
    """The folder for the conversion of a GGUF file; None if nothing is cached."""
    cache = cache_folder()
    return cache / "gguf" / f"{sha256(path)[:_DIGITS]}-{number_format}-{transformers}" if cache else None


def find_conversion(path: Path) -> Path | None:
    """The folder of a conversion that this version of transformers made, in any number format; None without one."""
    any_format = conversion_folder(path, "*", version("transformers"))
    if any_format is None:
        return None
    folders = any_format.parent.glob(any_format.name)
    return next((folder for folder in sorted(folders) if manifest.exists(folder)), None)


def converted_bytes(header: GgufHeader, item_bytes: int) -> int:
    """Size of the converted weights."""
    return sum(tensor.numbers for tensor in header.tensors) * item_bytes


def check_space(folder: Path, needed: int, path: Path) -> None:
    """Check that a folder has room for the conversion of `path`.

    Raises:
        DiskFullError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        sizes = f"needs {size_text(needed)} in `{folder}`, with {size_text(free)} free"
        advice = "SLTK_CACHE=DIR uses another folder"
        raise DiskFullError(f"converting `{path.name}` {sizes}\n   = {advice}", errno.ENOSPC)


def size_text(size: int) -> str:
    """Bytes in GB, or in MB below 1 GB."""
    return f"{size / 1e9:,.1f} GB" if size >= 10**9 else f"{size / 1e6:,.1f} MB"
