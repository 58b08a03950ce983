"""Read `sltk.json`, the description of a saved model, and check which version of sltk wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import Problem, UsageError
from ..spec.stored import read_mapping

FORMAT = 1
DESCRIPTION = "sltk.json"


def is_model(folder: Path) -> bool:
    """Whether the folder itself is a model: `model/` of a run, or an export."""
    return (folder / DESCRIPTION).is_file()


def check_format(folder: Path, stored: Mapping[str, Any], advice: str) -> None:
    """Check that this version of sltk can read the format that a stored file names.

    Raises:
        UsageError: the format is another one; `advice` is shown as a note.
    """
    if stored.get("format") == FORMAT:
        return
    about = (
        f"`{folder}` was written by sltk {stored.get('sltk', 'of an older version')} in format "
        f"{stored.get('format', '?')}; this is sltk {__version__}, which reads format {FORMAT}"
    )
    raise UsageError(Problem(about, notes=(advice,)))


def read_description(folder: Path) -> dict[str, Any]:
    """Read the description of a saved model.

    Raises:
        UsageError: the folder has no model, or one that another version of sltk wrote.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UsageError(f"`{folder}` has no sltk model (no {DESCRIPTION}); did its training finish?")
    description = read_mapping(path)
    check_format(folder, description, "train it again, or use the version that wrote it")
    return description
