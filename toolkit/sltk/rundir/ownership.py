"""Tell what sltk wrote in a run directory from what others put there, which is never removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from ..components.slots import Backbone, Reader
from ..files import atomic, manifest
from ..files.paths import resolved
from ..yamltree.extends import is_stored_spec

CORPUS_FILES = ("tokens.bin", "account.json", "written_for.txt")
"""The token ids of a corpus, its counts, and the digest of its settings."""

_BEFORE_SPEC: Mapping[str, tuple[str, ...]] = {
    ".lock": (),
    "environment.json": (),
    "imports": ("*.py",),
    "checkpoints": ("checkpoint-*",),
    "corpus": (*CORPUS_FILES, manifest.NAME),
}
"""What a run may leave if it is killed before it writes `spec.yaml`, and the names inside those folders."""


def foreign_files(folder: Path) -> list[str]:
    """What no run wrote: in a folder without a run, everything but what a killed run leaves there.

    In a run directory only the content of `corpus/` counts, because that folder is removed at the end of each run.
    A `spec.yaml` without any of the files that a run writes next to it is the work of a user.
    """
    if is_stored_spec(folder / "spec.yaml"):
        return sorted(_foreign_inside(folder / "corpus"))
    if not folder.is_dir():
        return []
    found: list[str] = []
    for path in folder.iterdir():
        if path.name == "imports" and not (folder / "environment.json").exists():
            found.append(path.name)  # a run writes its environment first
        elif path.name in _BEFORE_SPEC:
            found += _foreign_inside(path)
        elif not atomic.is_partial(path.name):
            found.append(path.name)
    return sorted(found)


def own_files(run: Path) -> list[Path]:
    """The files and folders of a run directory, or of an exported model, that a command which reads it must keep.

    `predictions/` is not read, so that files in it may be replaced.
    """
    if is_stored_spec(run / "spec.yaml"):
        names = (
            "spec.yaml",
            "environment.json",
            "metrics.json",
            "log.jsonl",
            "model",
            "checkpoints",
            "imports",
        )
        return [run / name for name in names]
    return [run]


def read_from(
    folders: list[Path], readers: Mapping[str, Reader | None], backbone: Backbone | None
) -> Iterator[str]:
    """The keys of a spec, with their values, that name something in one of these folders or the folder itself."""
    places = [each for key, reader in readers.items() if reader is not None for each in reader.paths(key)]
    for key in ("name", "adapter", "tokenizer"):
        value = getattr(backbone, key, None)
        if isinstance(value, str) and Path(value).exists():
            places.append((f"backbone.{key}", Path(value)))
    targets = [resolved(folder) for folder in folders]
    for key, path in places:
        if any(resolved(path).is_relative_to(target) for target in targets):
            yield f"{key}: {path}"


def _foreign_inside(path: Path) -> Iterator[str]:
    patterns = (*_BEFORE_SPEC[path.name], ".*")
    if not path.is_dir():
        return
    for inner in path.iterdir():
        # The corpus of each source is a folder of its own.
        parts = inner.rglob("*") if path.name == "corpus" and inner.is_dir() else [inner]
        for part in parts:
            if not any(fnmatchcase(part.name, pattern) for pattern in patterns):
                yield f"{path.name}/{part.relative_to(path).as_posix()}"
