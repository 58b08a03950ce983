"""The splits side by side: what they share, and what one has alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from ...data.datasets import Dataset
from .counts import Groups, Noise, grouped, noise_of, place, types_of


@dataclass(frozen=True)
class Overlap:
    """Sentences of one split whose words stand in another split, too."""

    split: str
    other: str
    sentences: int
    share: float
    """Of the sentences of `split`."""
    places: list[str]
    """Each as `file:line: words`."""


@dataclass(frozen=True)
class Between:
    """What two or more splits have to do with each other."""

    overlaps: list[Overlap]
    """For each pair: of the later split, the sentences that the earlier one has."""
    alone: dict[str, dict[str, int]]
    """Types that one split alone has, and how often; by split."""
    noise: list[Noise]
    """The same words with different tags in more than one split."""


def compare(splits: dict[str, Dataset]) -> Between:
    """Look at every pair of splits."""
    groups = {name: grouped(split) for name, split in splits.items()}
    types = {name: types_of(split) for name, split in splits.items()}
    overlaps = [_overlap(splits, groups, one, other) for one, other in combinations(splits, 2)]
    alone = {name: _alone(name, types) for name in splits} if len(splits) > 1 else {}
    return Between(overlaps, {name: found for name, found in alone.items() if found}, _noise(groups))


def _overlap(splits: dict[str, Dataset], groups: dict[str, Groups], other: str, split: str) -> Overlap:
    known = groups[other]
    shared = [sentence for sentence in splits[split] if tuple(sentence.words) in known]
    places = [f"{place(sentence)}: {' '.join(sentence.words)}" for sentence in shared]
    return Overlap(split, other, len(shared), len(shared) / len(splits[split]), places)


def _alone(name: str, types: dict[str, Counter[str]]) -> dict[str, int]:
    others = {kind for other, counted in types.items() if other != name for kind in counted}
    return {kind: count for kind, count in sorted(types[name].items()) if kind not in others}


def _noise(groups: dict[str, Groups]) -> list[Noise]:
    """Words that several splits have and that are tagged in more than one way."""
    shared = Counter(words for group in groups.values() for words in group)
    merged: Groups = {}
    for group in groups.values():
        for words, sentences in group.items():
            if shared[words] > 1:
                merged.setdefault(words, []).extend(sentences)
    return noise_of(merged)
