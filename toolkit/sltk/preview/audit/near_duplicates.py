"""Near duplicates: sentences that share most of their pairs of adjacent words, but are not equal.

Words are compared without case, with every digit read as 0, and without words that have neither letters nor digits. The
similarity of two sentences is the Jaccard index of their pairs of adjacent words, of which the first and the last word
form one each with the border of the sentence.

The search is exact, by prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): two sets of
this similarity share one of the rarest pairs of each, so only sentences that do are compared.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...data.datasets import SentenceSource
from ...types import Sentence
from .repetition import LISTED, SentenceIndex, place, selected

SIMILARITY = 0.7
"""From which similarity on sentences are near duplicates, unless chosen."""
FEWEST_WORDS = 6
"""Shorter sentences are not compared: they are alike by chance."""
_MOST_PAIRS = 3_000_000
"""Pairs of words in memory per split, with about 40 bytes each; later sentences are not compared."""
_MOST_CANDIDATES = 2_000
"""Sentences that one is compared with."""
_BORDER = ""
_DIGIT = re.compile(r"\d")
_HAS_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class NearPair:
    """Two sentences that are nearly equal, each with its place."""

    place: str
    words: tuple[str, ...]
    other_place: str
    other_words: tuple[str, ...]
    similarity: float


@dataclass(frozen=True)
class NearOverlap:
    """Sentences of a split that are nearly equal to one in another split, or to an earlier one in the same split."""

    split: str
    other: str
    sentences: int
    share: float
    """Share of the sentences of `split`."""
    spans: int
    """Spans in these sentences."""
    span_share: float
    """Share of the spans of `split`; 0 without spans."""
    pairs: list[NearPair]
    """The first of them, each with the most similar sentence of `other`."""


@dataclass(frozen=True)
class NearDuplicates:
    """Near duplicates in and between splits. Equal sentences are not among them."""

    similarity: float
    overlaps: list[NearOverlap]
    compared: dict[str, int]
    """Sentences of each split that were compared: those with enough words."""
    left_out: dict[str, int]
    """Sentences that were not compared because there are too many; by split."""
    cut_short: int
    """Sentences of which only a part of the similar ones was compared."""


class NearDuplicateSearch:
    """Collects the pairs of words of all sentences, split by split, and finds near duplicates."""

    def __init__(self, similarity: float = SIMILARITY) -> None:
        self.similarity = similarity
        self._hashes, self._sizes = array("q"), array("i")
        self._splits: list[str] = []
        self._owners, self._numbers, self._spans = array("i"), array("q"), array("i")
        self._left_out: dict[str, int] = {}
        self._sentences: list[int] = []
        self._all_spans: list[int] = []
        self._pairs = 0

    def start(self, split: str) -> None:
        """Begin a split."""
        self._splits.append(split)
        self._sentences.append(0)
        self._all_spans.append(0)
        self._pairs = 0

    def add(self, sentence: Sentence) -> None:
        """Add a sentence of the current split; those without words do not count."""
        if not sentence.words:
            return
        number = self._sentences[-1]
        self._sentences[-1] += 1
        self._all_spans[-1] += len(sentence.spans or ())
        words = normalized(sentence.words)
        if len(words) < FEWEST_WORDS:
            return
        if self._pairs > _MOST_PAIRS:
            self._left_out[self._splits[-1]] = self._left_out.get(self._splits[-1], 0) + 1
            return
        pairs = set(map(hash, zip([_BORDER, *words], [*words, _BORDER], strict=True)))
        self._pairs += len(pairs)
        self._hashes.extend(pairs)
        self._sizes.append(len(pairs))
        self._owners.append(len(self._splits) - 1)
        self._numbers.append(number)
        self._spans.append(len(sentence.spans or ()))

    def find(self, sources: Sequence[SentenceSource], indices: Sequence[SentenceIndex]) -> NearDuplicates:
        """Find near duplicates; the splits are read again to show some of them.

        Args:
            sources: the splits, in the order in which they were added.
            indices: the numbers that stand for the words of each sentence with words.
        """
        matches, cut_short = self._matches(indices)
        overlaps = [
            self._overlap(owner, other, found, sources) for (owner, other), found in sorted(matches.items())
        ]
        compared = {name: self._owners.count(place) for place, name in enumerate(self._splits)}
        return NearDuplicates(self.similarity, overlaps, compared, self._left_out, cut_short)

    def _matches(
        self, indices: Sequence[SentenceIndex]
    ) -> tuple[dict[tuple[int, int], dict[int, tuple[float, int]]], int]:
        """By pair of splits: the sentences of the later one, each with its similarity and the most similar sentence."""
        pairs, counts = self._by_rarity()
        starts = [0, *np.cumsum(self._sizes).tolist()]
        equal = [index.words for index in indices]
        known = [set(words.tolist()) for words in equal]
        index: dict[int, list[int]] = defaultdict(list)
        found: dict[tuple[int, int], dict[int, tuple[float, int]]] = {
            (owner, other): {} for owner in range(len(self._splits)) for other in range(owner + 1)
        }
        cut_short = 0
        seen: list[set[int]] = [set() for _ in self._splits]
        for own, size in enumerate(self._sizes):
            first = starts[own]
            prefix = pairs[first : first + size - math.ceil(self.similarity * size - 1e-9) + 1]
            rare = [pair for pair in prefix if counts[pair] > 1]
            candidates = dict.fromkeys(other for pair in rare for other in index[pair])
            owner = self._owners[own]
            number = int(equal[owner][self._numbers[own]])
            # Sentences that also occur there as they are, are reported as such.
            excluded = [
                number in (seen[owner] if split == owner else known[split]) for split in range(owner + 1)
            ]
            cut_short += len(candidates) > _MOST_CANDIDATES
            content = set(pairs[first : first + size])
            for other in list(candidates)[:_MOST_CANDIDATES]:
                split = self._owners[other]
                if (
                    excluded[split]
                    or not self.similarity * size <= self._sizes[other] <= size / self.similarity
                ):
                    continue
                common = len(content.intersection(pairs[starts[other] : starts[other + 1]]))
                similarity = common / (size + self._sizes[other] - common)
                if similarity >= self.similarity - 1e-9:
                    best = found[owner, split].get(own)
                    if best is None or similarity > best[0]:
                        found[owner, split][own] = (similarity, other)
            seen[owner].add(number)
            for pair in rare:
                index[pair].append(own)
        return found, cut_short

    def _by_rarity(self) -> tuple[array[int], list[int]]:
        """The pairs of each sentence as numbers, the rarest first, and how often each number occurs."""
        if not self._hashes:
            return array("q"), []
        _, inverse, counts = np.unique(
            np.frombuffer(self._hashes, np.int64), return_inverse=True, return_counts=True
        )
        order = np.argsort(counts, kind="stable")
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        numbers = ranks[inverse]
        sentences = np.repeat(np.arange(len(self._sizes)), np.frombuffer(self._sizes, np.int32))
        ordered = numbers[np.lexsort((numbers, sentences))]
        return array("q", ordered.astype(np.int64).tobytes()), counts[order].tolist()

    def _overlap(
        self, owner: int, other: int, found: dict[int, tuple[float, int]], sources: Sequence[SentenceSource]
    ) -> NearOverlap:
        listed = sorted(found)[:LISTED]
        shown = dict(self._read(owner, listed, sources))
        twins = dict(self._read(other, [found[own][1] for own in listed], sources))
        pairs = [NearPair(*shown[own], *twins[found[own][1]], round(found[own][0], 3)) for own in listed]
        spans, all_spans = sum(self._spans[own] for own in found), self._all_spans[owner]
        share = len(found) / max(1, self._sentences[owner])
        names = self._splits[owner], self._splits[other]
        return NearOverlap(*names, len(found), share, spans, spans / max(1, all_spans), pairs)

    def _read(
        self, owner: int, wanted: Sequence[int], sources: Sequence[SentenceSource]
    ) -> Iterator[tuple[int, tuple[str, tuple[str, ...]]]]:
        """Place and words of some sentences of a split."""
        mask = np.zeros(self._sentences[owner], np.bool_)
        by_number = {self._numbers[own]: own for own in wanted}
        mask[list(by_number)] = True
        for number, sentence in zip(sorted(by_number), selected(sources[owner], mask), strict=True):
            yield by_number[number], (place(sentence), tuple(sentence.words))


def normalized(words: Sequence[str]) -> list[str]:
    """The words as they are compared."""
    return [_DIGIT.sub("0", word.casefold()) for word in words if _HAS_WORD.search(word)]
