"""Repeated sentences, and the same words with different tags, in bounded memory.

The words and the tags of each sentence are kept as two numbers of eight bytes, and sentences are read again to show
some of them. With five million sentences, two different ones have the same number with a probability below 10⁻⁶.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data.datasets import SentenceSource
from ...errors import Location
from ...types import Sentence

_PART = 1 << 18
"""Number of sentences that are compared together."""
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

    def __len__(self) -> int:
        return len(self._words)

    @property
    def words(self) -> Numbers:
        """One number per sentence, which stands for its words."""
        return np.frombuffer(self._words, dtype=np.int64) if self._words else np.empty(0, np.int64)

    @property
    def tags(self) -> Numbers:
        """One number per sentence, which stands for its tags."""
        return np.frombuffer(self._tags, dtype=np.int64) if self._tags else np.empty(0, np.int64)


class Repetition(NamedTuple):
    """How often words are repeated."""

    duplicates: int
    """Sentences with the same words as an earlier one."""
    noisy: Numbers
    """The numbers of words that are tagged in more than one way, in order."""


def repetition(words: Numbers, tags: Numbers) -> Repetition:
    """Compare the numbers of sentences with each other."""
    order = np.argsort(words)
    duplicates, noisy = 0, [np.empty(0, np.int64)]
    for start in range(0, len(order), _PART):
        part = order[start : start + _PART + 1]  # with the first of the next part
        own, own_tags = words[part], tags[part]
        same = own[1:] == own[:-1]
        duplicates += int(same.sum())
        # Tags of equal words that are not all equal differ somewhere from their neighbour.
        noisy.append(np.unique(own[1:][same & (own_tags[1:] != own_tags[:-1])]))
    return Repetition(duplicates, np.unique(np.concatenate(noisy)))


def contained(values: Numbers, ordered: Numbers) -> Mask:
    """Which values are among the `ordered` ones."""
    result = np.zeros(len(values), np.bool_)
    for start in range(0, len(values) if len(ordered) else 0, _PART):
        part = values[start : start + _PART]
        places = np.minimum(np.searchsorted(ordered, part), len(ordered) - 1)
        result[start : start + _PART] = ordered[places] == part
    return result


def first_only(mask: Mask) -> Mask:
    """The mask with only as many selected as are listed."""
    result, missing = np.zeros(len(mask), np.bool_), LISTED
    for start in range(0, len(mask), _PART):
        hits = np.flatnonzero(mask[start : start + _PART])[:missing]
        result[start + hits] = True
        missing -= len(hits)
    return result


def selected(split: SentenceSource, mask: Mask) -> Iterator[Sentence]:
    """Yield the sentences with words that the mask selects."""
    if mask.any():
        with_words = (sentence for sentence in split if sentence.words)
        yield from (sentence for sentence, chosen in zip(with_words, mask.tobytes(), strict=True) if chosen)


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


def noise_within(split: SentenceSource, index: SentenceIndex, numbers: Numbers) -> list[Noise]:
    """The first sentences of a split that are tagged in more than one way, whose words have these numbers."""
    noise = NoiseList()
    for sentence in selected(split, contained(index.words, numbers)):
        noise.add(sentence)
    return noise.items


def noise_between(
    splits: Sequence[SentenceSource], indices: Sequence[SentenceIndex]
) -> tuple[int, list[Noise]]:
    """The number of sentences that occur in several splits and are tagged in more than one way, and the first."""
    masks = [np.zeros(len(index), np.bool_) for index in indices]
    for other in indices:
        ordered = np.sort(other.words)
        for mask, index in zip(masks, indices, strict=True):
            if index is not other:
                mask |= contained(index.words, ordered)
    words = np.concatenate([index.words[mask] for index, mask in zip(indices, masks, strict=True)])
    tags = np.concatenate([index.tags[mask] for index, mask in zip(indices, masks, strict=True)])
    numbers, noise = repetition(words, tags).noisy, NoiseList()
    for split, index in zip(splits, indices, strict=True):
        for sentence in selected(split, contained(index.words, numbers)):
            noise.add(sentence)
    return len(numbers), noise.items


def shared_with(index: SentenceIndex, other: SentenceIndex) -> Mask:
    """Which sentences with words also occur in another split."""
    return contained(index.words, np.sort(other.words))


def place(sentence: Sentence) -> str:
    """The position of a sentence, as `file:line`."""
    return str(Location(sentence.file or "(data)", sentence.line))
