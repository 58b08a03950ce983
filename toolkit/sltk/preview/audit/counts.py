"""Counts of one split."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from ...data.changes import Changes
from ...data.datasets import SentenceSource
from ...data.source_counts import SourceCount, SourceCounts
from ...data.statistics import style_as_json
from ...schemes.styles import TagStyle
from ...types import Sentence
from .repetition import Noise, SentenceIndex, noise_within, repetition


@dataclass(frozen=True)
class Distribution:
    """Lengths of sentences. Percentiles use the nearest-rank method, so they are lengths that occur."""

    mean: float
    median: int
    p95: int
    p99: int
    longest: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Distribution:
        """The distribution of `lengths`, which must not be empty; a `Counter` has the number of each length."""
        numbers: Counter[int] = lengths if isinstance(lengths, Counter) else Counter(lengths)
        ordered = sorted(numbers)
        ranks = list(accumulate(numbers[length] for length in ordered))
        total = ranks[-1]

        def rank(percent: int) -> int:
            last = max(1, -(-total * percent // 100))
            return ordered[bisect_left(ranks, last)]

        mean = round(sum(length * count for length, count in numbers.items()) / total, 2)
        return cls(mean, rank(50), rank(95), rank(99), ordered[-1])


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split."""

    sentences: int
    words: int
    documents: int
    """0 if the source marks none."""
    empty: int
    """Sentences without words."""
    scheme: str | None
    """The scheme of the source; None if it annotates spans."""
    tag_style: TagStyle | None
    """How its tags are written, if they do not have the form `B-PER`."""
    tag_warning: str | None
    """What is odd about its tags."""
    types: dict[str, int]
    """Spans of each type; for plain tags, words with each tag."""
    repaired: int
    changes: Changes
    words_per_sentence: Distribution
    duplicates: int
    """Sentences with the same words as an earlier sentence of the split."""
    noise_count: int
    """Sentences, each counted once, whose words are tagged in more than one way."""
    noise: list[Noise]
    """The first of them."""
    corpora: dict[str, SourceCount]
    """Counts of each corpus, if the data has several."""

    def as_json(self) -> dict[str, Any]:
        """All counts, JSON-ready."""
        counts = asdict(self)
        del counts["tag_style"]
        del counts["corpora"]
        more = (
            {"corpora": {name: each.as_json() for name, each in self.corpora.items()}} if self.corpora else {}
        )
        return {**counts, **more, **style_as_json(self.tag_style), **self.changes.as_json()}


class SplitCounter:
    """Counts the sentences of a split, one after the other."""

    def __init__(self) -> None:
        self.index = SentenceIndex()
        self._words = self._empty = 0
        self._lengths: Counter[int] = Counter()
        self._documents: set[tuple[str | None, str]] = set()
        self._types: Counter[str] = Counter()
        self._changes = Changes()
        self._corpora = SourceCounts()

    def add(self, sentence: Sentence, is_plain: bool) -> None:
        """Count a sentence."""
        self._words += len(sentence)
        self._empty += not sentence.words
        self._lengths[len(sentence)] += 1
        if sentence.document:
            self._documents.add((sentence.file, sentence.document))
        self._types.update(
            (sentence.tags or ()) if is_plain else (span.type for span in sentence.spans or ())
        )
        self._changes.add(sentence.unused)
        self._corpora.add(sentence)
        self.index.add(sentence)

    def counts(self, split: SentenceSource) -> SplitCounts:
        """The counts of the split, all of whose sentences have been counted; some are read again, to be shown."""
        reading = split.reading
        duplicates, noisy = repetition(self.index.words, self.index.tags)
        return SplitCounts(
            sentences=self._lengths.total(),
            words=self._words,
            documents=len(self._documents),
            empty=self._empty,
            scheme=reading.scheme if reading else None,
            tag_style=reading.style if reading else None,
            tag_warning=reading.warning if reading else None,
            types=dict(sorted(self._types.items())),
            repaired=split.repaired,
            changes=self._changes,
            words_per_sentence=Distribution.of(self._lengths),
            duplicates=duplicates,
            noise_count=len(noisy),
            noise=noise_within(split, self.index, noisy),
            corpora=self._corpora.corpora,
        )
