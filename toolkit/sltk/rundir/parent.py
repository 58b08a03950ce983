"""The model of a pre-training run that a labelling run starts from: what it is, and how far its training was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..errors import DataError

DESCRIPTION = "pretraining.json"
"""What a folder of a pre-trained model says of itself."""


class Origin(BaseModel):
    """A pre-trained model: one that was kept on the way, `RUN/steps/0003`, or the last, `RUN/model`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(description="name of the pre-training run's folder")
    snapshot: int | None = Field(default=None, description="number of a model kept on the way")
    objective: Literal["clm", "mlm"] | None = Field(default=None, description="unset where it is not known")
    update: int | None = Field(default=None, description="updates that it was trained for")
    epoch: float | None = Field(default=None, description="epochs that it was trained for")


def origin_of(*places: str | None) -> Origin | None:
    """Where a run starts, by its spec's `backbone.adapter` and `backbone.name`: the first that was pre-trained here.

    A model kept on the way that is not there any more is known by its path, which does not say the objective.

    Raises:
        DataError: what the folder says of itself is damaged.
    """
    named = [Path(place) for place in places if place]
    for folder in (inner for place in named for inner in (place, place / "model")):
        described = describe(folder)
        if described is not None:
            return _described(folder, described)
    kept = (path for path in named if path.parent.name == "steps" and path.name.isdecimal())
    return next((Origin(run=path.parents[1].name, snapshot=int(path.name)) for path in kept), None)


def _described(folder: Path, described: dict[str, Any]) -> Origin:
    at = folder.resolve()
    run = at.parents[1] if at.parent.name == "steps" else at.parent
    known = {key: described.get(key) for key in ("snapshot", "objective", "update", "epoch")}
    try:
        return Origin.model_validate({"run": run.name, **known})
    except ValueError as error:
        raise DataError.at(f"cannot read the file: {error}", folder / DESCRIPTION) from error


def describe(folder: Path) -> dict[str, Any] | None:
    """What `pretraining.json` says of a folder; None where it holds no pre-trained model.

    Raises:
        DataError: it is damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError.at(f"cannot read the file: {error}", path) from error
    return found
