"""Repeated sentences, and the same words with different tags, in bounded memory.

The words and the tags of each sentence are kept as two numbers of eight bytes, and sentences are read again to show
some of them. With five million sentences, two different ones have the same number with a probability below 10⁻⁶.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.datasets import SentenceSource
from ...errors import Location
from ...types import Sentence

LISTED = 1000
"""Number of findings of each kind that are listed; the others are counted."""

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Variant:
    """One way in which the same words are tagged."""

    tags: tuple[str, ...]
    count: int
    place: str
    """File and line of the first occurrence."""


@dataclass(frozen=True)
class Noise:
    """The same words with different tags: one annotation may be wrong."""

    words: tuple[str, ...]
    variants: tuple[Variant, ...]


class SentenceIndex:
    """The numbers of the sentences of a split that have words, in order."""

    def __init__(self) -> None:
        self._words, self._tags = array("q"), array("q")

    def add(self, sentence: Sentence) -> None:
        """Add a sentence."""
        if sentence.words:
            self._words.append(hash(tuple(sentence.words)))
            self._tags.append(hash(tuple(sentence.tags or ())))

    @property
    def words(self) -> Numbers:
        """One number per sentence, which stands for its words."""
        return np.frombuffer(self._words, dtype=np.int64) if self._words else np.empty(0, np.int64)

    @property
    def tags(self) -> Numbers:
        """One number per sentence, which stands for its tags."""
        return np.frombuffer(self._tags, dtype=np.int64) if self._tags else np.empty(0, np.int64)

    @property
    def duplicates(self) -> int:
        """Sentences with the same words as an earlier one."""
        return len(self._words) - len(np.unique(self.words))


def noisy(words: Numbers, tags: Numbers) -> Numbers:
    """The numbers of words that are tagged in more than one way."""
    order = np.argsort(words)
    words, tags = words[order], tags[order]
    # Tags of equal words that are not all equal differ somewhere from their neighbour.
    differs = (words[1:] == words[:-1]) & (tags[1:] != tags[:-1])
    return np.unique(words[1:][differs])


def selected(split: SentenceSource, mask: Mask) -> Iterator[Sentence]:
    """Yield the sentences with words that the mask selects."""
    if mask.any():
        with_words = (sentence for sentence in split if sentence.words)
        yield from (sentence for sentence, chosen in zip(with_words, mask.tolist(), strict=True) if chosen)


@dataclass
class NoiseList:
    """Collects the first noisy sentences, to be listed."""

    _variants: dict[tuple[str, ...], dict[tuple[str, ...], list[Any]]] = field(default_factory=dict)

    def add(self, sentence: Sentence) -> None:
        """Add a sentence whose words are tagged in more than one way."""
        words, tags = tuple(sentence.words), tuple(sentence.tags or ())
        if words in self._variants or len(self._variants) < LISTED:
            variant = self._variants.setdefault(words, {}).setdefault(tags, [0, place(sentence)])
            variant[0] += 1

    @property
    def items(self) -> list[Noise]:
        """The sentences in order of their first occurrence."""
        return [
            Noise(words, tuple(Variant(tags, count, first) for tags, (count, first) in variants.items()))
            for words, variants in self._variants.items()
            if len(variants) > 1
        ]


def noise_within(split: SentenceSource, index: SentenceIndex) -> tuple[int, list[Noise]]:
    """The number of different sentences of a split that are tagged in more than one way, and the first of them."""
    numbers, noise = noisy(index.words, index.tags), NoiseList()
    for sentence in selected(split, np.isin(index.words, numbers)):
        noise.add(sentence)
    return len(numbers), noise.items


def noise_between(
    splits: Sequence[SentenceSource], indices: Sequence[SentenceIndex]
) -> tuple[int, list[Noise]]:
    """The same of sentences that occur in several splits, with their variants in all of them."""
    own = np.concatenate([np.unique(index.words) for index in indices])
    numbers, counts = np.unique(own, return_counts=True)
    shared = numbers[counts > 1]
    masks = [np.isin(index.words, shared) for index in indices]
    words = np.concatenate([index.words[mask] for index, mask in zip(indices, masks, strict=True)])
    tags = np.concatenate([index.tags[mask] for index, mask in zip(indices, masks, strict=True)])
    found, noise = noisy(words, tags), NoiseList()
    for split, index in zip(splits, indices, strict=True):
        for sentence in selected(split, np.isin(index.words, found)):
            noise.add(sentence)
    return len(found), noise.items


def shared_with(index: SentenceIndex, other: SentenceIndex) -> Mask:
    """Which sentences with words also occur in another split."""
    return np.isin(index.words, other.words)


def first_only(mask: Mask) -> Mask:
    """The mask with only as many selected as are listed."""
    result: Mask = mask & (np.cumsum(mask) <= LISTED)
    return result


def place(sentence: Sentence) -> str:
    """The position of a sentence, as `file:line`."""
    return str(Location(sentence.file or "(data)", sentence.line))
