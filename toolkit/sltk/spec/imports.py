"""Run the files and modules of `imports:` and `--imports`, which register custom components.

The code runs with the rights of the user. The imported files are returned so that they can be shown.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from ..errors import InputError, Location, Problem, UsageError
from ..yamltree.scalars import is_python_file

_loaded: dict[str, str] = {}
"""Digest of a file's content → name of its module."""


def load_imports(items: Iterable[str | Path]) -> list[Path]:
    """Run each file (`….py`) or import each module, and return them.

    The same file is run only once, even if it is in another folder; an edited file replaces the old one.

    Raises:
        UsageError: a file does not exist or raises an exception; the error names the line.
    """
    return [_load(item) for item in items]


def _load(item: str | Path) -> Path:
    try:
        if is_python_file(item):
            _run_file(Path(item).expanduser())
        else:
            importlib.import_module(str(item))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a file may raise anything, also SystemExit
        raise UsageError(_problem(item, error)) from error
    return Path(item)


def _run_file(path: Path) -> None:
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    if _loaded.get(digest) in sys.modules:
        return
    name = f"sltk_imports.{path.stem}_{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pydantic look up the module while it runs
    try:
        # Unlike an import, this neither reads nor writes `__pycache__`.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    _loaded[digest] = name


def _problem(item: str | Path, error: BaseException) -> Problem:
    if isinstance(error, FileNotFoundError) and error.filename == str(item):
        return Problem(f"`{item}` does not exist")
    about = str(error.problems[0].message if isinstance(error, InputError) else error).strip()
    kind = type(error).__name__
    location = _location(item, error)
    return Problem(f"`{item}` cannot be imported: {kind}" + (f": {about}" if about else ""), location)


def _location(item: str | Path, error: BaseException) -> Location | None:
    """The line of the user's file where the error occurred; None if it is not in that file."""
    if isinstance(error, SyntaxError) and error.filename:
        return Location(error.filename, error.lineno, error.offset)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(item)]
    return Location(frames[-1].filename, frames[-1].lineno) if frames else None
