"""Batches without padding: the sentences of a batch, one after the other.

T subwords of the batch, W words, S sentences. Sentences of equal length are put side by side, so that attention
runs once for each length; words keep the order of their sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import torch
from torch import Tensor

from ..subwords.tokenization import Encoding
from .head import IGNORED
from .packing import Packing


@dataclass(slots=True)
class Sample:
    """One sentence, encoded, with the numbers of its gold tags (-100: no loss on this word)."""

    encoding: Encoding
    tags: list[int]
    number: int = 0
    """Position in the data set, to name the sentence in an error."""

    @property
    def tokens(self) -> int:
        """Subwords of all its windows."""
        return sum(len(window.ids) for window in self.encoding.windows)


class Batch(TypedDict):
    """What `Tagger` takes."""

    ids_T: Tensor
    packing: Packing
    first_W: Tensor
    last_W: Tensor
    labels: Tensor
    """Gold tag numbers, [W]; the name is the one by which transformers' Trainer counts items."""
    words_per_sentence: tuple[int, ...]
    numbers: tuple[int, ...]


def pack(samples: Sequence[Sample]) -> Batch:
    """One batch of these sentences. At least one of them has a word."""
    windows = [window for sample in samples for window in sample.encoding.windows if window.first]
    order = sorted(range(len(windows)), key=lambda number: len(windows[number].ids))
    starts = [0] * len(windows)
    ids: list[int] = []
    for number in order:
        starts[number] = len(ids)
        ids += windows[number].ids
    return Batch(
        ids_T=torch.tensor(ids),
        packing=Packing.of_lengths([len(windows[number].ids) for number in order]),
        first_W=torch.tensor([start + p for start, w in zip(starts, windows, strict=True) for p in w.first]),
        last_W=torch.tensor([start + p for start, w in zip(starts, windows, strict=True) for p in w.last]),
        labels=torch.tensor([tag for sample in samples for tag in sample.tags]),
        words_per_sentence=tuple(sample.encoding.words for sample in samples),
        numbers=tuple(sample.number for sample in samples),
    )


def without_loss(sample: Sample) -> Sample:
    """The same sentence without a loss: what a process computes when there is nothing left for it."""
    return Sample(sample.encoding, [IGNORED] * len(sample.tags), sample.number)


class Measured(Protocol):
    """Something that takes room in a batch."""

    @property
    def tokens(self) -> int:
        """Subwords of it."""
        ...


def by_token_budget(samples: Iterable[Measured], budget: int) -> Iterator[list[int]]:
    """Positions of the samples, longest first, in batches of at most `budget` subwords (or one sentence)."""
    sizes = [sample.tokens for sample in samples]
    batch: list[int] = []
    used = 0
    for position in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if batch and used + sizes[position] > budget:
            yield batch
            batch, used = [], 0
        batch.append(position)
        used += sizes[position]
    if batch:
        yield batch
