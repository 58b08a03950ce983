"""Comparison of splits: sentences and types that they share or do not share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from ...data.datasets import Dataset
from .counts import Groups, Noise, grouped, noise_of, place, types_of


@dataclass(frozen=True)
class Overlap:
    """Sentences of one split whose words also occur in another split."""

    split: str
    other: str
    sentences: int
    share: float
    """Share of the sentences of `split`."""
    places: list[str]
    """Each as `file:line: words`."""


@dataclass(frozen=True)
class Between:
    """Overlaps and differences of splits: shared sentences, types of only one split, conflicting tags."""

    overlaps: list[Overlap]
    """For each pair of splits: the sentences of the later split that occur in the earlier one."""
    alone: dict[str, dict[str, int]]
    """Types that occur in only one split, with their number; by split."""
    noise: list[Noise]
    """The same words with different tags in different splits."""


def compare(splits: dict[str, Dataset]) -> Between:
    """Compare every pair of splits."""
    groups = {name: grouped(split) for name, split in splits.items()}
    types = {name: types_of(split) for name, split in splits.items()}
    overlaps = [_overlap(splits, groups, one, other) for one, other in combinations(splits, 2)]
    alone = {name: _alone(name, types) for name in splits} if len(splits) > 1 else {}
    return Between(overlaps, {name: counts for name, counts in alone.items() if counts}, _noise(groups))


def _overlap(splits: dict[str, Dataset], groups: dict[str, Groups], other: str, split: str) -> Overlap:
    known = groups[other]
    shared = [sentence for sentence in splits[split] if tuple(sentence.words) in known]
    places = [f"{place(sentence)}: {' '.join(sentence.words)}" for sentence in shared]
    return Overlap(split, other, len(shared), len(shared) / len(splits[split]), places)


def _alone(name: str, types: dict[str, Counter[str]]) -> dict[str, int]:
    others = {type_ for other, counts in types.items() if other != name for type_ in counts}
    return {type_: count for type_, count in sorted(types[name].items()) if type_ not in others}


def _noise(groups: dict[str, Groups]) -> list[Noise]:
    """Words that occur in several splits and are tagged in more than one way."""
    shared = Counter(words for group in groups.values() for words in group)
    merged: Groups = {}
    for group in groups.values():
        for words, sentences in group.items():
            if shared[words] > 1:
                merged.setdefault(words, []).extend(sentences)
    return noise_of(merged)
