"""Counts of one split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...data.changes import Changes
from ...data.datasets import Dataset
from ...data.statistics import style_as_json
from ...errors import Location
from ...schemes.styles import TagStyle
from ...types import Sentence


@dataclass(frozen=True)
class Distribution:
    """Lengths of sentences. Percentiles use the nearest-rank method, so they are lengths that occur."""

    mean: float
    median: int
    p95: int
    p99: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Distribution:
        """The distribution of `lengths`, which must not be empty."""
        ordered = sorted(lengths)

        def rank(percent: int) -> int:
            return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

        mean = round(sum(ordered) / len(ordered), 2)
        return cls(mean, rank(50), rank(95), rank(99), ordered[-1])


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
    noise: list[Noise]

    def as_json(self) -> dict[str, Any]:
        """All counts, JSON-ready."""
        counts = asdict(self)
        del counts["tag_style"]
        return {**counts, **style_as_json(self.tag_style), **self.changes.as_json()}


def count(split: Dataset) -> SplitCounts:
    """Count the sentences, words and spans of a non-empty split."""
    groups = grouped(split)
    return SplitCounts(
        sentences=len(split),
        words=sum(map(len, split)),
        documents=len({(sentence.file, sentence.document) for sentence in split if sentence.document}),
        empty=sum(not sentence.words for sentence in split),
        scheme=split.read_scheme,
        tag_style=split.reading.style if split.reading else None,
        tag_warning=split.reading.warning if split.reading else None,
        types=dict(sorted(types_of(split).items())),
        repaired=split.repaired,
        changes=Changes(split.unused),
        words_per_sentence=Distribution.of([len(sentence) for sentence in split]),
        duplicates=sum(len(group) - 1 for group in groups.values()),
        noise=noise_of(groups),
    )


def types_of(split: Dataset) -> Counter[str]:
    """Spans of each type, or words with each plain tag."""
    if split.scheme == "plain":
        return Counter(tag for sentence in split for tag in sentence.tags or ())
    return Counter(span.type for sentence in split for span in sentence.spans or ())


Groups = dict[tuple[str, ...], list[Sentence]]
"""Sentences by their words, in order of first occurrence."""


def grouped(split: Dataset) -> Groups:
    """Group the sentences that have words by their words."""
    groups: Groups = {}
    for sentence in split:
        if sentence.words:
            groups.setdefault(tuple(sentence.words), []).append(sentence)
    return groups


def noise_of(groups: Groups) -> list[Noise]:
    """The groups whose sentences are tagged in more than one way."""
    noise = []
    for words, sentences in groups.items():
        by_tags: dict[tuple[str, ...], list[Sentence]] = {}
        for sentence in sentences:
            by_tags.setdefault(tuple(sentence.tags or ()), []).append(sentence)
        if len(by_tags) > 1:
            variants = (Variant(tags, len(same), place(same[0])) for tags, same in by_tags.items())
            noise.append(Noise(words, tuple(variants)))
    return noise


def place(sentence: Sentence) -> str:
    """The position of a sentence, as `file:line`."""
    return str(Location(sentence.file or "(data)", sentence.line))
