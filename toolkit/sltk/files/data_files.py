"""The files that a path stands for: one file, all files of a folder, or those that match a pattern like `*.conll`."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError

_PATTERN = re.compile(r"[*?\[]")
_PACKED = {".gz", ".bz2", ".xz", ".zip"}


def data_files(path: Path) -> list[Path]:
    """The files to read, in natural order (`2.txt` before `10.txt`); hidden files are left out.

    A path that is neither a folder nor a pattern is returned as it is, whether it exists or not.

    Raises:
        DataError: a folder without files, a pattern that nothing matches, or a folder whose files have several endings.
    """
    if not stands_for_several(path):
        return [path]
    files = all_files(path)
    if not files:
        raise DataError.at(
            "no files in this folder" if os.path.isdir(path) else "no file matches this pattern", path
        )
    endings = Counter(_ending(file) for file in files)
    if os.path.isdir(path) and len(endings) > 1:
        shown = ", ".join(f"{ending or 'none'} ({count})" for ending, count in endings.most_common())
        example = path / "**" / f"*{endings.most_common(1)[0][0] or 'NAME'}*"
        raise DataError.at(
            "the files of this folder have different endings: it is not clear which of them to read",
            path,
            None,
            f"endings: {shown}",
            f"choose with a pattern: `{example}`",
        )
    return files


def all_files(path: Path) -> list[Path]:
    """All files that a path stands for, in natural order, without a check."""
    if os.path.isdir(path):
        return sorted(_inside(path), key=natural_order)
    if not stands_for_several(path):
        return [path] if os.path.exists(path) else []
    matches = map(Path, glob.iglob(str(path), recursive=True))
    files = (file for match in matches for file in (_inside(match) if os.path.isdir(match) else [match]))
    return sorted(dict.fromkeys(files), key=natural_order)


def stands_for_several(path: Path) -> bool:
    """Whether a path is a folder or a pattern; the name of an existing file is no pattern."""
    return os.path.isdir(path) or (_PATTERN.search(str(path)) is not None and not os.path.lexists(path))


def is_missing(path: Path) -> bool:
    """Whether there is neither such a file or folder, nor a file that matches such a pattern."""
    return not os.path.exists(path) and not all_files(path)


def name_within(file: Path, path: Path) -> str:
    """The name of one of the files of a path, without the folder that all of them are in."""
    folder = path
    while stands_for_several(folder) and not os.path.isdir(folder):
        folder = folder.parent
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort key that compares numbers in names as numbers."""
    return [
        (int(part), "") if part.isdecimal() and part.isascii() else (-1, part)
        for part in re.split(r"([0-9]+)", path.as_posix())
    ]


def _inside(folder: Path) -> Iterator[Path]:
    """The files in a folder and in its folders, also in linked ones; each folder once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _ending(file: Path) -> str:
    """The ending of a name, without that of its compression."""
    return Path(file.stem).suffix if file.suffix in _PACKED else file.suffix
