"""Which word each token of a text belongs to, by the offsets that the tokenizer reports, if these can be right."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from .pieces import Pieces


def assigned(tokens: Any, text: str, words: list[tuple[int, int]]) -> tuple[Pieces, set[int]]:
    """The tokens of each word by their offsets, and the words for which these cannot be right.

    Offsets that leave the text, or run backwards, cannot be trusted at all: then no word has a token.
    """
    count = len(words)
    bounds = [*words, (len(text) + 1, len(text) + 1)]  # one more, so that the next word always has a start
    pieces = Pieces([[] for _ in words])
    broken: set[int] = set()
    word = reached = 0
    for token, (start, end) in zip(tokens.ids, tokens.offsets, strict=True):
        if not reached <= start <= end <= len(text):
            return Pieces([[] for _ in words]), set(range(count))
        if start < end and (text[start].isspace() or text[end - 1].isspace()):
            start, end = _without_space(text, start, end, bounds, word)
        reached = start
        while word < count and bounds[word][1] <= start:
            word += 1
        if end <= bounds[word][0]:
            pieces.before.setdefault(word, []).append(token)  # white space, or a token of no width
            continue
        if bounds[word + 1][0] < end:
            broken.update(other for other in range(word, count) if bounds[other][0] < end)
        pieces.of_word[word].append(token)
    return pieces, broken


def beside(numbers: Iterable[int], of_word: list[list[int]]) -> set[int]:
    """The nearest words with tokens to the left and right of these, which have none."""
    filled = [number for number, ids in enumerate(of_word) if ids]
    found: set[int] = set()
    for number in numbers:
        position = bisect_left(filled, number)
        found.update(filled[max(0, position - 1) : position + 1])
    return found


def _without_space(
    text: str, start: int, end: int, bounds: list[tuple[int, int]], word: int
) -> tuple[int, int]:
    """A token's offsets without the white space around it, unless a word itself is that white space."""
    if start == end or not (text[start].isspace() or text[end - 1].isspace()):
        return start, end
    tight_start, tight_end = start, end
    while tight_start < end and text[tight_start].isspace():
        tight_start += 1
    while tight_end > tight_start and text[tight_end - 1].isspace():
        tight_end -= 1
    if tight_start < tight_end:
        return tight_start, tight_end
    while word < len(bounds) and bounds[word][1] <= start:
        word += 1
    inside = word < len(bounds) and bounds[word][0] < end
    return (max(start, bounds[word][0]), end) if inside else (end, end)
