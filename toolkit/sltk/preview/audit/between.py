"""Comparison of splits: sentences and types that they share or do not share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from ...data.datasets import SentenceSource
from .counts import SplitCounts
from .repetition import Noise, SentenceIndex, first_only, noise_between, place, selected, shared_with


@dataclass(frozen=True)
class Overlap:
    """Sentences of one split whose words also occur in another split."""

    split: str
    other: str
    sentences: int
    share: float
    """Share of the sentences of `split`."""
    places: list[str]
    """The first of them, each as `file:line: words`."""


@dataclass(frozen=True)
class Between:
    """Overlaps and differences of splits: shared sentences, types of only one split, conflicting tags."""

    overlaps: list[Overlap]
    """For each pair of splits: the sentences of the later split that occur in the earlier one."""
    alone: dict[str, dict[str, int]]
    """Types that occur in only one split, with their number; by split."""
    noise_count: int
    """Sentences, each counted once, that are in several splits and tagged in more than one way."""
    noise: list[Noise]
    """The first of them."""


def compare(
    splits: dict[str, SentenceSource], counts: dict[str, SplitCounts], indices: dict[str, SentenceIndex]
) -> Between:
    """Compare every pair of splits, of which some sentences are read again."""
    overlaps = [_overlap(splits[one], counts, indices, other, one) for other, one in combinations(splits, 2)]
    alone = {name: _alone(name, counts) for name in splits} if len(splits) > 1 else {}
    noise_count, noise = noise_between(list(splits.values()), list(indices.values()))
    return Between(overlaps, {name: types for name, types in alone.items() if types}, noise_count, noise)


def _overlap(
    split: SentenceSource,
    counts: dict[str, SplitCounts],
    indices: dict[str, SentenceIndex],
    other: str,
    name: str,
) -> Overlap:
    shared = shared_with(indices[name], indices[other])
    places = [
        f"{place(sentence)}: {' '.join(sentence.words)}" for sentence in selected(split, first_only(shared))
    ]
    number = int(shared.sum())
    return Overlap(name, other, number, number / counts[name].sentences, places)


def _alone(name: str, counts: dict[str, SplitCounts]) -> dict[str, int]:
    others = {type_ for other, split in counts.items() if other != name for type_ in split.types}
    return {type_: count for type_, count in counts[name].types.items() if type_ not in others}
