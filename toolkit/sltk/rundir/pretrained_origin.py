"""The pre-trained model that a labelling run starts from: its run, its objective, how long it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from ..errors import DataError, UsageError
from ..files.damage import read_json
from ..files.paths import resolved

DESCRIPTION = "pretraining.json"
"""The file in the folder of a pre-trained model that describes it."""


class Origin(BaseModel):
    """A pre-trained model: a snapshot, `RUN/steps/0003`, or the final model, `RUN/model`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(description="name of the pre-training run's folder")
    snapshot: int | None = Field(default=None, description="number of the snapshot")
    objective: Literal["clm", "mlm", "mntp"] | None = Field(
        default=None, description="pre-training objective; unset if unknown"
    )
    update: int | None = Field(default=None, description="number of updates it was trained for")
    epoch: float | None = Field(default=None, description="number of epochs it was trained for")
    merge: float | None = Field(
        default=None, description="share of what training changed that was kept; unset: all of it"
    )

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records of models without `merge` are those of earlier versions."""
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key != "merge" or value is not None}


def origin_of(*places: str | None) -> Origin | None:
    """Find the first pre-trained model among `backbone.adapter` and `backbone.name` of a spec.

    A snapshot that no longer exists is recognized by its path, which does not tell the objective.

    Raises:
        DataError: the description in the folder is damaged.
    """
    named = [Path(place) for place in places if place]
    for folder in (inner for place in named for inner in (place, place / "model")):
        description = describe(folder)
        if description is not None:
            return _origin(folder, description)
    snapshots = (path for path in named if path.parent.name == "steps" and path.name.isdecimal())
    return next((Origin(run=path.parents[1].name, snapshot=int(path.name)) for path in snapshots), None)


def _origin(folder: Path, description: dict[str, Any]) -> Origin:
    at = resolved(folder)
    run = at.parents[1] if at.parent.name == "steps" else at.parent
    values = {key: description.get(key) for key in ("snapshot", "objective", "update", "epoch", "merge")}
    try:
        return Origin.model_validate({"run": run.name, **values})
    except ValueError as error:
        raise DataError.at(f"cannot read the file: {error}", folder / DESCRIPTION) from error


def describe(folder: Path) -> dict[str, Any] | None:
    """Read `pretraining.json` in a folder; None if the folder holds no pre-trained model.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        return None
    try:
        return read_json(path)
    except UsageError as error:
        raise DataError.at(f"cannot read the file: {error.problems[0].message}", path) from error
