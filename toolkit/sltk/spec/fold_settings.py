"""The keys under `data.folds`: cross-validation."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..components.readers.dividing import Unit
from ..components.readers.folds import FoldReader
from ..components.registry import RefusedError
from ..components.strict import StrictModel


class FoldSpec(StrictModel):
    """Cross-validation: `train` is divided into k parts; each run tests one of them and trains on the others."""

    k: int = Field(default=5, ge=2, le=1000, description="number of parts; each is tested once")
    by: Unit = Field(
        default="sentence",
        description="what is divided: single sentences, or whole documents, which keeps neighbours together",
    )
    seed: int = Field(
        default=42, description="seed of the assignment to parts, independent of the run's seed"
    )
    fold: int | None = Field(
        default=None,
        ge=1,
        description="the part that this run tests, from 1 to k; unset: `sltk sweep` runs all",
    )
    train_limit: int | None = Field(
        default=None,
        ge=1,
        description="train on at most this many sentences of the other parts: the first of one random order, so that "
        "a larger limit contains a smaller one; test parts stay whole",
    )

    @model_validator(mode="after")
    def _check_fold(self) -> FoldSpec:
        if self.fold is not None and self.fold > self.k:
            raise RefusedError(
                f"there is no fold {self.fold}: `k: {self.k}` gives the folds 1 to {self.k}", "fold"
            )
        return self

    def reader(self, *, allow_empty: bool) -> FoldReader:
        """The reader of the test part, which may have no span if the training data may.

        Raises:
            RefusedError: the spec does not say which part this is.
        """
        if self.fold is None:
            notes = (
                f"`sltk sweep` trains all {self.k} folds of such a spec",
                f"`fold: 1` to `fold: {self.k}` trains one of them: `--set data.folds.fold=1`",
            )
            raise RefusedError("a single run needs the number of its fold", "folds", notes=notes)
        return FoldReader(allow_empty=allow_empty, **self.model_dump())
