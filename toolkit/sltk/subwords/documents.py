"""Document context: the sentences around a sentence in its document.

The model reads the neighbours together with the sentence but labels only the sentence (as FLERT does: Schweter &
Akbik, 2020). Only sentences whose document is known have neighbours, and only within that document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..types import Sentence
from .pieces import Flat

_MOST_WORDS = 200_000
"""Words in a chunk of sentences, except that a longer sentence is a chunk: about three times as many as usual."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive sentences to label, and the sentences around them, which are context only."""

    before: list[Sentence]
    sentences: list[Sentence]
    after: list[Sentence]


def are_neighbours(left: Sentence, right: Sentence) -> bool:
    """Whether two consecutive sentences belong to the same document."""
    return left.document is not None and (left.document, left.file) == (right.document, right.file)


def chunks(sentences: Iterable[Sentence], size: int, reach: int) -> Iterator[Chunk]:
    """Yield at most `size` sentences at a time, with `reach` words (or slightly more) of their document on each side.

    A word has at least one subword, so this is enough for a context of `reach` subwords. Sentences are kept in memory
    no longer than needed. If `reach` is 0, or no document is known, no sentence is read ahead.
    """
    source, ahead = iter(sentences), deque[Sentence]()
    behind: list[Sentence] = []
    while True:
        chunk = [ahead.popleft() for _ in range(min(size, len(ahead)))]
        chunk += _take(source, size - len(chunk), _MOST_WORDS - sum(map(len, chunk)))
        if not chunk:
            return
        _read_ahead(chunk[-1], ahead, source, reach)
        after = _within_reach(chunk[-1], ahead, reach)
        before = _within_reach(chunk[0], reversed(behind), reach)[::-1]
        yield Chunk(before, chunk, after)
        *earlier, last = [*behind, *chunk]
        behind = [*_within_reach(last, reversed(earlier), reach)[::-1], last]


def _take(source: Iterator[Sentence], most: int, words: int) -> Iterator[Sentence]:
    """Yield sentences up to a number of them, or until they have `words` words."""
    for sentence in islice(source, most):
        yield sentence
        words -= len(sentence)
        if words <= 0:
            return


def _read_ahead(last: Sentence, ahead: deque[Sentence], source: Iterator[Sentence], reach: int) -> None:
    """Move sentences from `source` to `ahead` until they have `reach` words, or another document begins."""
    end = last
    words = 0
    for sentence in ahead:
        if not are_neighbours(end, sentence):
            return
        end, words = sentence, words + len(sentence)
    while words < reach and end.document is not None:
        following = next(source, None)
        if following is None:
            return
        ahead.append(following)
        if not are_neighbours(end, following):
            return
        end, words = following, words + len(following)


def _within_reach(sentence: Sentence, others: Iterable[Sentence], reach: int) -> list[Sentence]:
    """The nearest of `others`, nearest first, until they have `reach` words or another document begins."""
    near: list[Sentence] = []
    words = 0
    for other in others:
        if words >= reach or not are_neighbours(sentence, other):
            break
        near.append(other)
        words += len(other)
    return near


def context_ids(
    sentences: Sequence[Sentence], flats: Sequence[Flat], number: int, limit: int
) -> tuple[list[int], list[int]]:
    """At most `limit` subwords before and after sentence `number`: the nearest whole words of its document."""
    return (
        _before(_same_document(sentences, flats, number, range(number - 1, -1, -1)), limit),
        _after(_same_document(sentences, flats, number, range(number + 1, len(sentences))), limit),
    )


def _same_document(
    sentences: Sequence[Sentence], flats: Sequence[Flat], number: int, others: Iterable[int]
) -> Iterator[Flat]:
    """The subwords of other sentences, up to the first one of another document; empty sentences are left out."""
    for other in others:
        if not are_neighbours(sentences[number], sentences[other]):
            return
        if flats[other].first:
            yield flats[other]


def _before(neighbours: Iterator[Flat], limit: int) -> list[int]:
    context: list[int] = []
    for ids, starts, _ in neighbours:
        room = limit - len(context)
        if len(ids) > room:
            start = next((start for start in starts if len(ids) - start <= room), len(ids))
            return ids[start:] + context
        context = ids + context
    return context


def _after(neighbours: Iterator[Flat], limit: int) -> list[int]:
    context: list[int] = []
    for ids, _, ends in neighbours:
        room = limit - len(context)
        if len(ids) > room:
            end = next((end + 1 for end in reversed(ends) if end + 1 <= room), 0)
            return context + ids[:end]
        context = context + ids
    return context
