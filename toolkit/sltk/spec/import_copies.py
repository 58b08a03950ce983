"""Copies of the files of `imports:`, as the folder of a run or of a sweep keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..files import atomic
from ..yamltree.scalars import is_python_file
from .recorded_code import record


def run_copies(imports: Iterable[Path]) -> dict[Path, str]:
    """Each file of a run's `imports:` with the name of its copy in `imports/`: `x.py`, `x_2.py`."""
    sources: dict[str, Path] = {}
    for path in _files(imports):
        name, number = path.name, 2
        while name in sources:
            name, number = f"{path.stem}_{number}{path.suffix}", number + 1
        sources[name] = path
    return {path: name for name, path in sources.items()}


def sweep_copies(imports: Iterable[Path]) -> dict[Path, str]:
    """The same for a sweep, with names that stay: `x.py`, `2/x.py`. So a plan read back from its copies is equal."""
    taken: set[str] = set()
    copies: dict[Path, str] = {}
    for path in _files(imports):
        name, number = path.name, 2
        while name in taken:
            name, number = f"{number}/{path.name}", number + 1
        taken.add(name)
        copies[path] = name
    return copies


def read_copies(copies: Mapping[Path, str]) -> dict[str, bytes]:
    """The content of each copy by its name."""
    return {name: source.read_bytes() for source, name in copies.items()}


def write_copies(contents: Mapping[str, bytes], folder: Path, note: Callable[[str], None]) -> None:
    """Write copies to a folder, and record that this machine trains with them, or note why it cannot."""
    for name, content in contents.items():
        atomic.write_bytes(folder / name, content)
    try:
        record(hashlib.sha256(content).hexdigest() for content in contents.values())
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home directory
        note(f"loading the result will need `--trust-code`: its code cannot be recorded: {error}")


def _files(imports: Iterable[Path]) -> list[Path]:
    return [path for path in dict.fromkeys(imports) if is_python_file(str(path))]
