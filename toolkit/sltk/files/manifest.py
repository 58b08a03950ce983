"""The manifest of a folder: the size and SHA-256 of each file, written last and verified before files are used.

    {"format": 1, "step": 8, "spec": "…", "files": {"head.safetensors": {"bytes": 1560, "sha256": "…"}, …}}

A folder may gain files that no library reads. README.md is for people, who may edit it, so no manifest lists it. A
manifest detects damage and mix-ups. It is not signed, so it does not detect a person who replaces both a file and the
manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..errors import Location, Problem, UsageError
from . import atomic, file_digests
from .damage import check_regular, damaged, open_regular, read_json, visible

NAME = "manifest.json"
CARD = "README.md"
"""The model card."""
_FORMAT = 1
_READ_BY_LIBRARIES = frozenset(
    (
        ".onnx",
        ".data",
        ".json",
        ".jinja",
        ".txt",
        ".model",
        ".py",
        ".safetensors",
        ".bin",
        ".pt",
        ".pth",
        ".gguf",
        ".npz",
    )
)
"""Suffixes of files that libraries look for, so that one more of them may change the result."""
_WORKERS = 4


def write(folder: Path, **about: Any) -> None:
    """Write the manifest of a finished folder; `about` are further keys, such as the step."""
    with ManifestWriter(folder) as writer:
        writer.finish(**about)


class ManifestWriter:
    """Flushes files to disk and hashes them in threads, so that a manifest takes hardly any time of its own.

    Args:
        folder: the folder of the manifest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = ThreadPoolExecutor(_WORKERS)
        self._tasks: dict[Path, tuple[Future[None], Future[dict[str, Any]]]] = {}

    def __enter__(self) -> ManifestWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, path: Path) -> None:
        """Begin with a file that is complete, while others are still being written."""
        if path not in self._tasks:
            self._tasks[path] = self._pool.submit(atomic.sync, path), self._pool.submit(_digest, path)

    def finish(self, **about: Any) -> None:
        """Add all other files in the folder, and write the manifest with `about` as further keys."""
        unlisted = (self.folder / NAME, self.folder / CARD)
        paths = (path for path in self.folder.rglob("*") if path.is_file() and path not in unlisted)
        for path in sorted(paths, key=_size, reverse=True):
            self.add(path)
        files = {}
        for path, (flushed, hashed) in sorted(self._tasks.items()):
            flushed.result()
            files[path.relative_to(self.folder).as_posix()] = hashed.result()
        atomic.write_json(self.folder / NAME, {"format": _FORMAT, **about, "files": files})


def _size(path: Path) -> int:
    return path.stat().st_size


def _digest(path: Path) -> dict[str, Any]:
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}


def update(folder: Path, path: Path) -> None:
    """List one file anew, or no longer if it is gone. A folder without a manifest gets none.

    Raises:
        UsageError: the manifest is damaged.
    """
    if not exists(folder):
        return
    manifest = read_json(folder / NAME)
    files = {**_files(folder, manifest)}
    name = path.relative_to(folder).as_posix()
    before = files.pop(name, None)
    if path.is_file():
        files[name] = _digest(path)
    if files.get(name) != before:
        if (folder / NAME).is_symlink():  # not followed: it may lead out of a folder from elsewhere
            (folder / NAME).unlink()
        atomic.write_json(folder / NAME, {**manifest, "files": dict(sorted(files.items()))})


def exists(folder: Path) -> bool:
    """Whether a folder has a manifest; folders written by an older version have none."""
    return os.path.lexists(folder / NAME)


def digest_of(folder: Path) -> str | None:
    """The SHA-256 of the manifest of a folder, and so of all that it lists; None if there is none."""
    return hashlib.sha256((folder / NAME).read_bytes()).hexdigest() if exists(folder) else None


def is_foreign(folder: Path) -> bool:
    """Whether the file of this name is not a manifest of sltk; other programs use the name too.

    Raises:
        UsageError: the file cannot be read as JSON.
    """
    return exists(folder) and "files" not in read_json(folder / NAME)


def read(folder: Path) -> dict[str, Any]:
    """The keys of the manifest except the files, such as the step; empty without a manifest.

    Raises:
        UsageError: the manifest is damaged.
    """
    if not exists(folder):
        return {}
    manifest = read_json(folder / NAME)
    _files(folder, manifest)
    return {key: value for key, value in manifest.items() if key not in ("files", "format")}


def verify(folder: Path, below: str = "") -> dict[str, Any] | None:
    """Compare the files of a folder with its manifest, and return the other keys of the manifest; None without one.

    With `below`, only files whose path begins with it are compared.

    Raises:
        UsageError: a file is missing, differs from what was saved, or was added and would be read; or the folder
            contains something that is no file. The error names it.
    """
    if not exists(folder):
        return None
    check_regular(folder)
    manifest = read_json(folder / NAME)
    files = {name: entry for name, entry in _files(folder, manifest).items() if name.startswith(below)}
    for name in files:
        if not (folder / name).is_file():
            kind = "is not a file" if (folder / name).exists() else "is missing"
            raise UsageError(Problem(f"the folder is damaged: `{name}` {kind}", Location(str(folder / NAME))))
    for path in _unlisted(folder, files, below):
        raise damaged(
            path, f"it was added after {NAME} was written", "remove it, or restore the original folder"
        )
    with ThreadPoolExecutor(_WORKERS) as pool:
        for name, found in zip(
            files, pool.map(lambda name: _check(folder / name, files[name]), files), strict=True
        ):
            if found is not None:
                note = f"{folder / NAME} has the size and SHA-256 of the file that was saved"
                raise damaged(folder / name, found, note)
    return read(folder)


def _files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    files = manifest.get("files")
    if manifest.get("format") != _FORMAT or not isinstance(files, dict):
        raise damaged(folder / NAME, f"expected a manifest in format {_FORMAT}")
    for name, entry in files.items():
        path = PurePosixPath(name)
        is_inside = not path.is_absolute() and ".." not in path.parts and name not in ("", ".")
        if not is_inside or not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            raise damaged(folder / NAME, f"its entry `{name}` is not valid")
    return files


def is_read_by_libraries(path: PurePath) -> bool:
    """Whether a library might read a file of this name, so that its presence may change the result."""
    return path.suffix in _READ_BY_LIBRARIES and not path.stem.isupper()


def _unlisted(folder: Path, files: Mapping[str, Any], below: str) -> Iterator[Path]:
    """Files that the manifest does not list, and that a library might read; `LICENSE.txt` is none of these."""
    for path in visible(folder):
        name = path.relative_to(folder).as_posix()
        if (
            is_read_by_libraries(path)
            and path.is_file()
            and name not in files
            and name != NAME
            and name.startswith(below)
        ):
            yield path


def _check(path: Path, expected: Mapping[str, Any]) -> str | None:
    """How a file differs from the one that was saved; None if it does not."""
    size = _size(path)
    if size != expected["bytes"]:
        return f"it has {size} bytes, and {expected['bytes']} were saved"
    digest = file_digests.sha256(path)
    return None if digest == expected["sha256"] else "its content is not what was saved"
