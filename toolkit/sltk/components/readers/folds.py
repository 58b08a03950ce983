"""Cross-validation: one of k parts of the training data is the test data of a run.

Every unit (a sentence, or a whole document) belongs to exactly one part. Parts have similar sizes and similar numbers
of each label: units are assigned one after the other, those with the largest share of a label first, each to the part
that has the least of the unit's own labels so far. This is iterative stratification (Sechidis, Tsoumakas and Vlahavas
2011) in one pass, with sizes as one more label.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from ...errors import DataError, Problem
from ...schemes import OUTSIDE
from ...types import Sentence
from .dividing import DividingReader, Unit, divided
from .sampling import nested_sample

KEY = "data.folds"
"""The key of a spec that gives the settings."""
_SIZE = ""
"""The label that every sentence has: its count is the size of a unit or a part."""


class FoldReader(DividingReader):
    """The part of `train` that the run of a fold tests; a spec gets it from `data.folds`."""

    type_name: ClassVar[str] = "folds"

    k: int = Field(ge=2, description="number of parts")
    by: Unit = Field(description="what to divide: single sentences, or whole documents")
    seed: int = Field(description="seed of the assignment")
    fold: int = Field(ge=1, description="the part to test, from 1 to k")
    train_limit: int | None = Field(default=None, description="maximum number of sentences to train on")

    def divide(self, sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
        """Divide sentences into `(rest, part of this fold)`.

        Raises:
            DataError: there are fewer units than folds, or no documents.
        """
        units = self.units(sentences, f"{KEY}.by")
        held_out = {unit for unit, fold in enumerate(self.assigned(sentences, units)) if fold == self.fold}
        rest, part = divided(sentences, units, held_out)
        places = [place for place, unit in enumerate(units) if unit in held_out]
        return rest, [replace(each, position=place) for place, each in zip(places, part, strict=True)]

    def training_part(self, rest: list[Sentence]) -> list[Sentence]:
        """At most `train_limit` sentences of those that no split takes."""
        return nested_sample(rest, self.train_limit, self.seed)

    def assigned(self, sentences: Sequence[Sentence], units: Sequence[int]) -> list[int]:
        """The fold of each unit, from 1 to k.

        Raises:
            DataError: there are fewer units than folds.
        """
        labels: list[Counter[str]] = [Counter() for _ in range(len(set(units)))]
        for unit, sentence in zip(units, sentences, strict=True):
            labels[unit].update((_SIZE, *labels_of(sentence)))
        if len(labels) < self.k:
            message = f"{self.k} folds need at least {self.k} {self.by}s, but train has {len(labels)}"
            note = "choose a smaller `k`" + (", or `by: sentence`" if self.by == "document" else "")
            raise DataError(Problem(message, path=f"{KEY}.k", notes=(note,)))
        return _assign(labels, self.k, self.seed)


def labels_of(sentence: Sentence) -> list[str]:
    """The types of the spans of a sentence, or its tags other than `O`, one for each span or word."""
    if sentence.spans is not None:
        return [span.type for span in sentence.spans]
    return [tag for tag in sentence.tags or () if tag != OUTSIDE]


def _assign(units: Sequence[Mapping[str, int]], k: int, seed: int) -> list[int]:
    """The fold of each unit, from 1 to k, by the counts of its labels."""
    totals: Counter[str] = Counter()
    for unit in units:
        totals.update(unit)
    shares = [{label: count / totals[label] for label, count in unit.items()} for unit in units]
    order = random.Random(seed).sample(range(len(units)), len(units))
    order.sort(key=lambda place: -max(shares[place].values()))
    loads: list[dict[str, float]] = [{} for _ in range(k)]
    sizes = [0] * k
    folds = [0] * len(units)
    for place in order:
        size, own = units[place][_SIZE], shares[place]
        # Only the smallest part may exceed the mean, so sizes differ by at most the size of one unit.
        free = [fold for fold in range(k) if (sizes[fold] + size) * k <= totals[_SIZE]]
        fold = min(
            free or [sizes.index(min(sizes))],
            key=lambda each: (
                sum(loads[each].get(label, 0.0) * share for label, share in own.items()),
                sizes[each],
            ),
        )
        sizes[fold] += size
        for label, share in own.items():
            loads[fold][label] = loads[fold].get(label, 0.0) + share
        folds[place] = fold + 1
    return folds
