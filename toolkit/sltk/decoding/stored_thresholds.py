"""`thresholds.json` beside a model: the lowest score of each type with which a span is kept.

    {"format": 1, "target": {"precision": 0.9}, "chosen_on": "validation", "decode": "head", "span_score": "product",
     "types": {"PER": {"threshold": 0.41, "precision": 0.91, "recall": 0.8, "kept": 55, "predicted": 60, "support": 62},
               …}}

A threshold of null keeps every span of the type: its target was not reached, or there was nothing to choose it by.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..files import atomic, manifest
from ..files.damage import damaged, read_json
from .decisions import Mode, SpanScore

NAME = "thresholds.json"
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TypeThreshold(_Stored):
    """The threshold of one type, and its scores on the data that it was chosen on."""

    threshold: _Share | None
    precision: _Share
    recall: _Share
    kept: _Count
    """Predicted spans of this type that it keeps."""
    predicted: _Count
    """All predicted spans of this type."""
    support: _Count
    """Gold spans of this type."""
    best: _Share | None = None
    """The best value of the target that any threshold reaches, if none reaches the target itself."""

    @property
    def is_reached(self) -> bool:
        """Whether a threshold reaches the target."""
        return self.best is None and self.support > 0


class Thresholds(_Stored):
    """Thresholds of a model by type, and how they were chosen."""

    format: Literal[1] = 1
    target: dict[Literal["precision", "recall"], _Share] = Field(min_length=1, max_length=1)
    chosen_on: str
    decode: Mode
    span_score: SpanScore
    types: dict[str, TypeThreshold]

    def values(self) -> dict[str, float]:
        """The threshold of each type that has one."""
        return {name: each.threshold for name, each in self.types.items() if each.threshold is not None}

    def summary(self) -> str:
        """The target and the thresholds in one line."""
        goal = " ".join(f"{name} {value:g}" for name, value in self.target.items())
        values = ", ".join(f"{name} {value:.2f}" for name, value in sorted(self.values().items()))
        return f"{goal} on {self.chosen_on}: {values or 'no type has one'}"


def read_thresholds(folder: Path) -> Thresholds | None:
    """The thresholds stored with the model in `folder`; None if there are none.

    Raises:
        UsageError: the file is damaged.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    try:
        return Thresholds.model_validate(read_json(path))
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        key = ".".join(map(str, item["loc"]))
        raise damaged(path, f"`{key}`: {item['msg']}" if key else item["msg"]) from error


def write_thresholds(folder: Path, thresholds: Thresholds | None) -> None:
    """Store thresholds with the model in `folder`, or remove them, and update its manifest.

    A process that ends between the two files leaves a manifest that does not fit; doing it again repairs it.
    """
    path = folder / NAME
    if thresholds is None or path.is_symlink() or not path.is_file():
        atomic.remove(path)  # a link is removed, not followed: it may lead out of a model from elsewhere
    if thresholds is not None:
        atomic.write_json(path, thresholds.model_dump(mode="json"))
    manifest.update(folder, path)


def copy_thresholds(source: Path, target: Path) -> None:
    """Copy the thresholds of a model to another form of it, before its manifest is written."""
    thresholds = read_thresholds(source)
    if thresholds is not None:
        atomic.write_json(target / NAME, thresholds.model_dump(mode="json"))
