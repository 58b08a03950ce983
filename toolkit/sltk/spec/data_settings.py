"""The keys of `data` in a run's spec."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..components.readers.concat import ConcatReader
from ..components.registry import RefusedError
from ..components.slots import Reader
from ..components.strict import StrictModel
from .fold_settings import FoldSpec


class DataSpec(StrictModel):
    """The data for training, validation and test."""

    train: Reader = Field(description="sentences to train on")
    validation: Reader | None = Field(
        default=None,
        description="sentences to score during training; `{type: holdout}` takes a part of `train`",
    )
    test: Reader | None = Field(default=None, description="sentences to score after training")
    folds: FoldSpec | None = Field(
        default=None,
        exclude_if=lambda value: value is None,  # as in run directories of earlier versions
        description="cross-validation: test on a part of `train`, and train on the others",
    )

    @model_validator(mode="after")
    def _set_test_of_fold(self) -> DataSpec:
        if self.folds is None:
            return self
        if self.test is not None:
            raise RefusedError(
                "`folds` tests on parts of `train`: leave out `test`, or write `test: null`", "test"
            )
        # The model is frozen, so a validator cannot assign the attribute.
        self.__dict__["test"] = self.folds.reader(allow_empty=self.train.allow_empty)
        return self

    @model_serializer(mode="wrap")
    def _without_test_of_fold(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the test part of a fold, which `folds` gives."""
        values: dict[str, Any] = handler(self)
        return values if self.folds is None else {key: item for key, item in values.items() if key != "test"}

    def readers(self) -> dict[str, Reader]:
        """The reader of each split that the run has."""
        readers = {name: getattr(self, name) for name in ("train", "validation", "test")}
        return {name: reader for name, reader in readers.items() if reader is not None}


def sampling_key(reader: Reader | None) -> str | None:
    """The key that says how often a corpus of `concat` is read, if there is one."""
    if not isinstance(reader, ConcatReader):
        return None
    if reader.temperature is not None:
        return "temperature"
    weighted = (n for n, source in enumerate(reader.sources) if source.weight is not None)
    return next((f"sources.{number}.weight" for number in weighted), None)
