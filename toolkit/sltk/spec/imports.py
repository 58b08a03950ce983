"""Run the files and modules of `imports:` and `--imports`, which register custom components.

The code runs with the rights of the user. Each file is announced before it runs. Code of a stored spec, which may come
from somebody else, runs only with the user's consent, and only from files in the folder of the spec.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from ..components.registry import RegistrationError, registry
from ..errors import InputError, Location, Problem, UsageError
from ..files.paths import expanded, resolved
from ..yamltree.scalars import is_python_file
from .recorded_code import is_recorded

_loaded: dict[str, str] = {}
"""Digest of a file's content → name of its module."""


@dataclass(frozen=True)
class ImportPolicy:
    """Which code may run, and who is told before it does."""

    trust_code: bool = False
    """Run the code of stored specs, even if this machine did not record it."""
    announce: Callable[[str], None] = lambda message: None
    """Receives a line for each file or module before it runs."""


@dataclass(frozen=True)
class ImportedCode:
    """A file or module that may run; the content of a file is the one that was checked."""

    item: Path
    content: bytes | None = None
    """None for a module."""
    is_stored: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content or b"").hexdigest()

    def has_run(self) -> bool:
        """Whether the same code has run in this process, so that nothing runs now."""
        if self.content is None:
            return str(self.item) in sys.modules
        return _loaded.get(self.digest) in sys.modules

    def run(self, policy: ImportPolicy) -> None:
        """Announce the code and run it, unless it has run in this process.

        Raises:
            UsageError: it raises an exception; the error names the line.
        """
        if self.has_run():
            return
        registry.load()  # so that no code takes the name of a built-in component before that is registered
        policy.announce(f"importing {self.item}" + (f" (sha256 {self.digest})" if self.is_stored else ""))
        try:
            if self.content is None:
                importlib.import_module(str(self.item))
            else:
                _run_file(self.item, self.content, self.digest)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a file may raise anything, also SystemExit
            raise UsageError(_problem(self.item, error)) from error


def load_imports(items: Iterable[str | Path], policy: ImportPolicy | None = None) -> list[Path]:
    """Run each file (`….py`) or import each module that the user named, and return them.

    The same file is run only once, even if it is in another folder; an edited file replaces the old one.

    Raises:
        UsageError: a file does not exist or raises an exception; the error names the line.
    """
    policy = policy or ImportPolicy()
    imported = []
    for item in items:
        code = find_code(item)
        code.run(policy)
        imported.append(code.item)
    return imported


def find_code(item: str | Path) -> ImportedCode:
    """Read an item of the user's own `imports:`; it does not run yet.

    Raises:
        UsageError: the file cannot be read.
    """
    if not is_python_file(item):
        return ImportedCode(Path(item))
    try:
        path = expanded(item)
        return ImportedCode(path, path.read_bytes())
    except (OSError, RuntimeError) as error:  # RuntimeError: `~somebody` has no home directory
        raise UsageError(_problem(item, error)) from error


def find_stored_code(item: str, folder: Path, policy: ImportPolicy) -> ImportedCode:
    """Read an item of the `imports:` of a stored spec in `folder`, if it may run; it does not run yet.

    Raises:
        UsageError: it is not a file inside the folder, or the user did not consent.
    """
    if not is_python_file(item):
        code = ImportedCode(Path(item), is_stored=True)
        if code.has_run():
            return code
        note = f"if it is yours, name it yourself: `--imports {item}`; in Python, import it first"
        message = f"a stored spec runs only files of its own folder: the module `{item}` was not imported"
        raise UsageError(Problem(message, notes=(note,)))
    path = folder / item
    if path.exists() and not path.is_file():  # reading a pipe would wait forever
        raise UsageError(f"`{path}` is not a regular file")
    code = replace(find_code(path), is_stored=True)
    if code.has_run():
        return code
    if Path(item).is_absolute() or ".." in Path(item).parts or not _is_inside(path, folder):
        message = f"a stored spec runs only files of its own folder: `{item}` is not inside `{folder}`"
        raise UsageError(message)
    if policy.trust_code or is_recorded(code.digest):
        return code
    notes = (
        f"sha256 {code.digest}",
        "read the file; if you trust it, add `--trust-code`, in Python `trust_code=True`",
    )
    message = f"`{path}` was not run: this machine did not train a run with this code"
    raise UsageError(Problem(message, notes=notes))


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is below a folder, with links resolved."""
    return resolved(path).is_relative_to(resolved(folder))


def _run_file(path: Path, content: bytes, digest: str) -> None:
    name = f"sltk_imports.{path.stem}_{hashlib.sha256(os.fsencode(resolved(path))).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pydantic look up the module while it runs
    try:
        # Unlike an import, this neither reads nor writes `__pycache__`.
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
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
    if isinstance(error, RegistrationError):
        return error.problems[0].location
    if isinstance(error, SyntaxError) and error.filename:
        return Location(error.filename, error.lineno, error.offset)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(item)]
    return Location(frames[-1].filename, frames[-1].lineno) if frames else None
