"""A random part of the training data, held out for validation or test."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field, model_validator

from ...errors import DataError
from ...types import Sentence
from ..registry import register
from .dividing import DividingReader, Unit, divided
from .sampling import nested_sample


@register.reader("holdout")
class HoldoutReader(DividingReader):
    """Takes random sentences, or whole documents, out of `train`; both parts keep their order."""

    fraction: float | None = Field(
        default=None, gt=0, lt=1, description="share of train; 0.1 if neither fraction nor count is set"
    )
    count: int | None = Field(
        default=None, ge=1, description="number of sentences or documents, instead of a fraction"
    )
    by: Unit = Field(
        default="sentence",
        description="what to hold out: single sentences, or whole documents, which keeps neighbours together",
    )
    seed: int = Field(default=42, description="seed of the choice, independent of the run's seed")

    @model_validator(mode="after")
    def _one_size(self) -> HoldoutReader:
        if self.fraction is not None and self.count is not None:
            raise ValueError("give `fraction` or `count`, not both")
        return self

    def divide(self, sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
        """Divide sentences into `(rest, held out)`: `count` units, or int(fraction · n) of n units, are held out.

        Raises:
            DataError: nothing would be held out, or nothing would be left; or the data has no documents.
        """
        units = self.units(sentences)
        amount = len(set(units))
        size = self.count if self.count is not None else int((self.fraction or 0.1) * amount)
        if not 0 < size < amount:
            raise DataError(
                f"`holdout` would take {size} of {amount} {self.by}s; it must take some and leave some"
            )
        rest, held_out = divided(sentences, units, set(random.Random(self.seed).sample(range(amount), size)))
        return rest, nested_sample(held_out, self.limit, self.limit_seed)
