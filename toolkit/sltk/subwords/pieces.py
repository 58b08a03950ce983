"""The subwords of a sentence, and how they are cut into windows of what a model reads at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Pieces:
    """Subwords of a sentence: those of each word, and those that stand before it and belong to none."""

    of_word: list[list[int]]
    before: dict[int, list[int]] = field(default_factory=dict)


class Flat(NamedTuple):
    """All subwords in order, and the position of the first and last of each word."""

    ids: list[int]
    first: list[int]
    last: list[int]


def flat(pieces: Pieces) -> Flat:
    """The subwords of a sentence one after the other."""
    ids: list[int] = []
    first, last = [], []
    before = pieces.before
    for number, own in enumerate(pieces.of_word):
        if before and number in before:
            ids += before[number]
        first.append(len(ids))
        ids += own
        last.append(len(ids) - 1)
    ids += before.get(len(pieces.of_word), ())
    return Flat(ids, first, last)


def fitted(pieces: Pieces, room: int) -> Pieces:
    """No word alone longer than `room`: its middle is left out, and what stands before it if that is too much."""
    words = [ids if len(ids) <= room else ids[: room - 1] + ids[-1:] for ids in pieces.of_word]
    before = {
        number: ids
        for number, ids in pieces.before.items()
        if number < len(words) and len(ids) + len(words[number]) <= room
    }
    return Pieces(words, before)


def runs(sizes: list[int], room: int) -> Iterator[tuple[int, int]]:
    """Runs of words [start, end) of at most `room` subwords, each starting in the middle of the one before."""
    start = 0
    while True:
        end, used = start, 0
        while end < len(sizes) and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        yield start, end
        if end == len(sizes):
            return
        # Step back over half of the window, and forward by at least one word.
        back, overlap = end, 0
        while back - 1 > start and overlap + sizes[back - 1] <= room // 2:
            back -= 1
            overlap += sizes[back]
        start = back
