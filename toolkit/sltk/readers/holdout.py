"""A seeded part of the training data, held out for validation."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from pydantic import Field, model_validator

from ..errors import DataError
from ..registry import register
from ..slots import Reader
from ..types import Sentence

T = TypeVar("T")


@register.reader("holdout")
class HoldoutReader(Reader):
    """Takes sentences out of `train`, chosen by seed; both parts keep their order."""

    fraction: float | None = Field(
        default=None, gt=0, lt=1, description="share of train; 0.1 where nothing is said"
    )
    count: int | None = Field(default=None, ge=1, description="number of sentences, instead of a fraction")
    seed: int = Field(default=42, description="of the choice, apart from the run's seed")

    @model_validator(mode="after")
    def _one_size(self) -> HoldoutReader:
        if self.fraction is not None and self.count is not None:
            raise ValueError("give `fraction` or `count`, not both")
        return self

    def read(self) -> Iterator[Sentence]:
        """Always an error: the sentences are another reader's."""
        raise DataError(
            "`holdout` has no sentences of its own: it divides `train`; use it for validation or test"
        )

    def divide(self, items: Sequence[T]) -> tuple[list[T], list[T]]:
        """`(rest, held out)`: int(fraction · n) or `count` items are held out, at most `limit` of them kept.

        Raises:
            DataError: nothing would be held out, or nothing would be left.
        """
        size = self.count if self.count is not None else int((self.fraction or 0.1) * len(items))
        if not 0 < size < len(items):
            raise DataError(
                f"`holdout` would take {size} of {len(items)} sentences; it must take some and leave some"
            )
        chosen = set(random.Random(self.seed).sample(range(len(items)), size))
        rest = [item for number, item in enumerate(items) if number not in chosen]
        held_out = [item for number, item in enumerate(items) if number in chosen]
        return rest, held_out[: self.limit]
