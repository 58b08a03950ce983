"""The subwords of a sentence, grouped by word, and how they are cut into windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Pieces:
    """Subword ids of a sentence: those of each word, and those before a word that belong to no word."""

    of_word: list[list[int]]
    before: dict[int, list[int]] = field(default_factory=dict)


class Flat(NamedTuple):
    """All subword ids in order, and the positions of the first and last subword of each word."""

    ids: list[int]
    first: list[int]
    last: list[int]


def flatten(pieces: Pieces) -> Flat:
    """Concatenate the subwords of a sentence."""
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


def fit_words(pieces: Pieces, room: int) -> Pieces:
    """Cut each word to at most `room` subwords without its middle; drop what is before it if it does not fit."""
    words = [ids if len(ids) <= room else ids[: room - 1] + ids[-1:] for ids in pieces.of_word]
    before = {
        number: ids
        for number, ids in pieces.before.items()
        if number < len(words) and len(ids) + len(words[number]) <= room
    }
    return Pieces(words, before)


def window_bounds(sizes: list[int], room: int) -> Iterator[tuple[int, int]]:
    """Windows of words [start, end) of at most `room` subwords; each starts in the middle of the previous one."""
    start = 0
    while True:
        end, used = start, 0
        while end < len(sizes) and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        yield start, end
        if end == len(sizes):
            return
        # Step back over half of the window, but forward by at least one word.
        back, overlap = end, 0
        while back - 1 > start and overlap + sizes[back - 1] <= room // 2:
            back -= 1
            overlap += sizes[back]
        start = back
