"""What `sweep.yaml` says of the runs of a sweep: whether their data varies, and the names of its arms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.paths import resolved
from ..spec.stored import read_mapping
from .run_records import Arm, RunRecord

_PLAN = "sweep.yaml"


class SweepPlans:
    """The plans of the sweeps that runs belong to; each is read once."""

    def __init__(self) -> None:
        self._plans: dict[Path, Mapping[str, Any]] = {}

    def placed(self, record: RunRecord, run: Path) -> RunRecord:
        """The record with the name of the sweep that the folder `run` belongs to, and its place there."""
        folder = resolved(run).parent.parent
        if not (folder / _PLAN).is_file():
            return record
        return record.model_copy(update={"sweep": folder.name, "arm": self._arm(folder, resolved(run).name)})

    def varies_data(self) -> bool:
        """Whether one of the sweeps gives its runs different keys under `data`."""
        keys = (key for plan in self._plans.values() for settings in _runs(plan).values() for key in settings)
        return any(str(key).partition(".")[0] == "data" for key in keys)

    def _arm(self, folder: Path, run: str) -> Arm | None:
        if folder not in self._plans:
            self._plans[folder] = _read(folder / _PLAN)
        plan = self._plans[folder]
        runs = _runs(plan)
        names = list(dict.fromkeys(str(each["name"]) for each in runs.values() if "name" in each))
        name = runs.get(run, {}).get("name")
        compare = plan.get("compare") or []
        return None if name is None else Arm(place=names.index(str(name)), compare=list(map(str, compare)))


def _read(path: Path) -> Mapping[str, Any]:
    """The part `sweep` of a plan; empty if it cannot be read."""
    try:
        part = read_mapping(path).get("sweep")
    except DataError:
        return {}
    return part if isinstance(part, dict) else {}


def _runs(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each run."""
    runs = plan.get("runs")
    items = runs.items() if isinstance(runs, dict) else ()
    return {str(name): settings for name, settings in items if isinstance(settings, dict)}
