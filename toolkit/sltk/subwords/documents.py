"""Sentences among their neighbours: what stands around a sentence in its document.

The model reads the neighbours with the sentence and labels the sentence alone (as FLERT does: Schweter & Akbik,
2020). Only sentences that say which document they are of have neighbours, and only in the same document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..types import Sentence
from .pieces import Flat


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sentences to label, and those around them that are read as context alone."""

    before: list[Sentence]
    sentences: list[Sentence]
    after: list[Sentence]


def are_neighbours(left: Sentence, right: Sentence) -> bool:
    """Whether two sentences, one after the other, are of the same document."""
    return left.document is not None and (left.document, left.file) == (right.document, right.file)


def stretches(sentences: Iterable[Sentence], size: int, reach: int) -> Iterator[Stretch]:
    """At most `size` sentences at a time, with `reach` words (or a few more) of their document on each side.

    A word has at least one subword, so these are enough for a context of `reach` subwords. Sentences are held
    no longer than that; where `reach` is 0, or there is no document, none is waited for.
    """
    waiting, ahead = iter(sentences), deque[Sentence]()
    behind: list[Sentence] = []
    while True:
        chunk = [ahead.popleft() for _ in range(min(size, len(ahead)))]
        chunk += islice(waiting, size - len(chunk))
        if not chunk:
            return
        _look_ahead(chunk[-1], ahead, waiting, reach)
        after = _within_reach(chunk[-1], ahead, reach)
        before = _within_reach(chunk[0], reversed(behind), reach)[::-1]
        yield Stretch(before, chunk, after)
        known = [*behind, *chunk]
        behind = [*_within_reach(known[-1], reversed(known[:-1]), reach)[::-1], known[-1]]


def _look_ahead(last: Sentence, ahead: deque[Sentence], waiting: Iterator[Sentence], reach: int) -> None:
    """Take from `waiting` until `ahead` reaches far enough, or into another document."""
    end = last
    words = 0
    for sentence in ahead:
        if not are_neighbours(end, sentence):
            return
        end, words = sentence, words + len(sentence)
    while words < reach and end.document is not None:
        following = next(waiting, None)
        if following is None:
            return
        ahead.append(following)
        if not are_neighbours(end, following):
            return
        end, words = following, words + len(following)


def _within_reach(sentence: Sentence, others: Iterable[Sentence], reach: int) -> list[Sentence]:
    """The nearest of `others`, nearest first, until they have `reach` words or another document begins."""
    found: list[Sentence] = []
    words = 0
    for other in others:
        if words >= reach or not are_neighbours(sentence, other):
            break
        found.append(other)
        words += len(other)
    return found


def context(
    sentences: Sequence[Sentence], flats: Sequence[Flat], number: int, most: int
) -> tuple[list[int], list[int]]:
    """At most `most` subwords before and after sentence `number`: whole words of its document, the nearest."""
    own = sentences[number]
    return (
        _before(_same(own, sentences, flats, range(number - 1, -1, -1)), most),
        _after(_same(own, sentences, flats, range(number + 1, len(sentences))), most),
    )


def _same(
    own: Sentence, sentences: Sequence[Sentence], flats: Sequence[Flat], numbers: Iterable[int]
) -> Iterator[Flat]:
    for number in numbers:
        if not are_neighbours(own, sentences[number]):
            return
        if flats[number].first:
            yield flats[number]


def _before(neighbours: Iterator[Flat], most: int) -> list[int]:
    found: list[int] = []
    while len(found) < most and (neighbour := next(neighbours, None)):
        ids, starts, _ = neighbour
        if len(found) + len(ids) > most:
            start = next((start for start in starts if len(ids) - start + len(found) <= most), len(ids))
            return ids[start:] + found
        found = ids + found
    return found


def _after(neighbours: Iterator[Flat], most: int) -> list[int]:
    found: list[int] = []
    while len(found) < most and (neighbour := next(neighbours, None)):
        ids, _, ends = neighbour
        if len(found) + len(ids) > most:
            end = next((end + 1 for end in reversed(ends) if end + 1 + len(found) <= most), 0)
            return found + ids[:end]
        found = found + ids
    return found
