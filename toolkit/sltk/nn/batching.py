"""Batches without padding: the sentences of a batch, one after the other.

T subwords of the batch, W words, S sentences. Sentences are sorted by length, so that attention runs once for each
length; words stay in the order of the sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import torch
from torch import Tensor

from ..subwords.tokenization import Encoding, Window
from .packing import Packing
from .softmax_head import IGNORED


@dataclass(slots=True)
class Sample:
    """One encoded sentence, with the numbers of its gold tags (-100: no loss for this word)."""

    encoding: Encoding
    tags: list[int]
    number: int = 0
    """Position in the data set, which identifies the sentence in error messages."""

    @property
    def tokens(self) -> int:
        """Number of subwords in all its windows."""
        return sum(len(window.ids) for window in self.encoding.windows)


class Batch(TypedDict):
    """Arguments of `Tagger`."""

    ids_T: Tensor
    packing: Packing
    first_W: Tensor
    last_W: Tensor
    labels: Tensor
    """Gold tag numbers, [W]; transformers' Trainer counts items by this name."""
    words_per_sentence: tuple[int, ...]
    numbers: tuple[int, ...]


def pack(samples: Sequence[Sample]) -> Batch:
    """Pack sentences into one batch. At least one of them must have a word."""
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


def parts_of(sample: Sample, budget: int) -> Iterator[Sample]:
    """Divide a sample into consecutive windows of at most `budget` subwords together, or single larger ones."""
    windows: list[Window] = []
    used = 0
    for window in sample.encoding.windows:
        if not window.first:
            continue
        if windows and used + len(window.ids) > budget:
            yield _part(sample, windows)
            windows, used = [], 0
        windows.append(window)
        used += len(window.ids)
    if windows:
        yield _part(sample, windows)


def _part(sample: Sample, windows: list[Window]) -> Sample:
    words = sum(len(window.first) for window in windows)
    return Sample(Encoding(windows, words), [IGNORED] * words, sample.number)


def without_loss(sample: Sample) -> Sample:
    """A copy that adds no loss, for a process that has no sentences left while others still train."""
    return replace(sample, tags=[IGNORED] * len(sample.tags))


def by_token_budget(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Group samples into batches of at most `budget` subwords, longest first; yields the positions of each batch.

    A sample larger than the budget has its own batch. `sizes` are the subwords of each sample.
    """
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
