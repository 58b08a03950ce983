"""The folder of a search over values of keys: what it may hold, and the spec that it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InputError, Problem, UsageError
from ...files import atomic
from ...files.writable import check_model_folder
from ...spec.stored import differences, parse_stored_spec, read_mapping, with_new_keys
from .trial_storage import FILE
from .tuning_plan import TuningPlan

PLAN, RESULT, BEST = "search.yaml", "search.json", "best.yaml"
_FILES = {PLAN, RESULT, BEST, "runs", "logs"}


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds no search over values of keys.

    Raises:
        UsageError: the folder is a file, or holds other files.
    """
    check_model_folder(folder)
    if not folder.exists() or (folder / PLAN).exists():
        return
    if not folder.is_dir():
        raise UsageError(f"`{folder}` is not a directory")
    names = {path.name for path in folder.iterdir()} - _FILES
    others = sorted(name for name in names if not name.startswith((".", "index.", FILE)))
    if others:
        shown = ", ".join(others[:3])
        raise UsageError(
            f"`{folder}` is not a search over a `space` and holds other files ({shown}); choose another --output"
        )


def store_plan(plan: TuningPlan, folder: Path) -> None:
    """Write `search.yaml`, or check that the folder was started with the same spec.

    The number of trials may be changed, and the executor.

    Raises:
        UsageError: it was started with another spec.
    """
    path, now = folder / PLAN, plan.dump()
    if path.exists():
        try:
            before = read_mapping(path)
        except InputError as error:
            message = f"`{path}` cannot be read: {error.problems[0].message}"
            note = "remove it to write it again from the spec; trials of the spec are kept"
            raise UsageError(Problem(message, notes=(note,))) from error
        values = parse_stored_spec(now)
        stored = with_new_keys(before, values, plan.first.experiment)
        changed = list(differences(_comparable(stored), _comparable(values)))
        if changed:
            message = f"the search in `{folder}` was started with another spec"
            notes = (*changed[:8], "another --output starts a new search")
            raise UsageError(Problem(message, notes=notes))
    atomic.write_text(path, now)


def _comparable(values: dict[str, Any]) -> dict[str, Any]:
    section = values.get("search")
    kept = (
        {key: value for key, value in section.items() if key != "trials"}
        if isinstance(section, dict)
        else section
    )
    return {**values, "search": kept, "executor": None}
