"""Damage to the files of stored folders, for tests: every kind of damage to every file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip_bit(path: Path) -> None:
    """Flip one bit in the last quarter, where weights are."""
    content = bytearray(path.read_bytes())
    content[len(content) * 7 // 8] ^= 1
    path.write_bytes(bytes(content))


def _delete(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def _odd(path: Path) -> None:
    path.write_text('{"a": [1, null], "files": 3, "step": "x"}')


def _list(path: Path) -> None:
    path.write_text("[1, 2]")


def _broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "truncated": _truncate, "emptied": _empty, "bit flipped": _flip_bit, "deleted": _delete, "folder": _folder,
    "pipe": _pipe, "deep JSON": _deep, "odd JSON": _odd, "a list": _list, "broken link": _broken_link,
}  # fmt: skip
"""What can happen to a file: each function does it to a path."""


def files(folder: Path) -> list[str]:
    """The names of all files in a folder, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def swap(folder: Path, other: Path, name: str) -> None:
    """Replace a file by the one of the same name in another folder."""
    shutil.copyfile(other / name, folder / name)
