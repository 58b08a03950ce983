"""A random part of the training data, held out for validation or test."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field, model_validator

from ...errors import DataError
from ...types import Sentence
from ..registry import register
from ..slots import Reader


@register.reader("holdout")
class HoldoutReader(Reader):
    """Takes random sentences, or whole documents, out of `train`; both parts keep their order."""

    fraction: float | None = Field(
        default=None, gt=0, lt=1, description="share of train; 0.1 if neither fraction nor count is set"
    )
    count: int | None = Field(
        default=None, ge=1, description="number of sentences or documents, instead of a fraction"
    )
    by: Literal["sentence", "document"] = Field(
        default="sentence",
        description="what to hold out: single sentences, or whole documents, which keeps neighbours together",
    )
    seed: int = Field(default=42, description="seed of the choice, independent of the run's seed")

    @model_validator(mode="after")
    def _one_size(self) -> HoldoutReader:
        if self.fraction is not None and self.count is not None:
            raise ValueError("give `fraction` or `count`, not both")
        return self

    def read(self) -> Iterator[Sentence]:
        """Not available: the sentences come from another reader.

        Raises:
            DataError: always; use `divide` instead.
        """
        raise DataError(
            "`holdout` reads no sentences itself: it divides `train`; use it for validation or test"
        )

    def divide(self, sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
        """Divide sentences into `(rest, held out)`; of the second part at most `limit` sentences are returned.

        `count` units, or int(fraction · n) of n units, are held out. A unit is a sentence or, with `by: document`, all
        sentences of a document; a sentence without a document is a unit by itself.

        Raises:
            DataError: nothing would be held out, or nothing would be left; or the data has no documents.
        """
        units = self._units(sentences)
        amount = len(set(units))
        size = self.count if self.count is not None else int((self.fraction or 0.1) * amount)
        if not 0 < size < amount:
            raise DataError(
                f"`holdout` would take {size} of {amount} {self.by}s; it must take some and leave some"
            )
        held_out_units = set(random.Random(self.seed).sample(range(amount), size))
        rest = [
            sentence for unit, sentence in zip(units, sentences, strict=True) if unit not in held_out_units
        ]
        held_out = [
            sentence for unit, sentence in zip(units, sentences, strict=True) if unit in held_out_units
        ]
        return rest, held_out[: self.limit]

    def _units(self, sentences: Sequence[Sentence]) -> Sequence[int]:
        """The unit of each sentence, numbered from 0 by first occurrence."""
        if self.by == "sentence":
            return range(len(sentences))
        if not any(sentence.document is not None for sentence in sentences):
            raise DataError("`holdout` with `by: document` needs documents, but train marks none")
        numbers: dict[object, int] = {}
        return [
            numbers.setdefault(
                index if sentence.document is None else (sentence.file, sentence.document), len(numbers)
            )
            for index, sentence in enumerate(sentences)
        ]
