"""Encoded sentences with the numbers of their tags, and how many of them fit into one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tokenization import Encoding, Window

IGNORED = -100
"""Tag number of a word without a loss."""


@dataclass(slots=True)
class Sample:
    """One encoded sentence, with the numbers of its gold tags (-100: no loss for this word)."""

    encoding: Encoding
    tags: list[int] | list[list[int]]
    """One number per word; in the scheme `layers`, one per word and layer."""
    number: int = 0
    """Position in the data set, which identifies the sentence in error messages."""
    allowed: NDArray[np.bool_] | None = None
    """[W, L], the tags that each word may have, in a partly labelled sentence; None: those of `tags`.

    In the scheme `layers`, it is about each layer where `tags` has `O`.
    """

    @property
    def tokens(self) -> int:
        """Number of subwords in all its windows."""
        return sum(len(window.ids) for window in self.encoding.windows)


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
    ignored: Any = [_ignored(tag) for tag in sample.tags]
    return replace(sample, tags=ignored, allowed=None)


def _ignored(tag: int | list[int]) -> int | list[int]:
    return [IGNORED] * len(tag) if isinstance(tag, list) else IGNORED


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
