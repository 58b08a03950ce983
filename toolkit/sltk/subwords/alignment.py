"""Assign the tokens of a text to its words by the character offsets that the tokenizer reports, if they are valid."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from .pieces import Pieces


def assign_tokens(tokens: Any, text: str, words: list[tuple[int, int]]) -> tuple[Pieces, set[int]]:
    """Assign tokens to words by their offsets; also return the numbers of the words whose tokens cannot be right.

    If offsets lie outside the text or run backwards, none of them is used, and no word has a token.
    """
    count = len(words)
    bounds = [*words, (len(text) + 1, len(text) + 1)]  # a sentinel, so that every word has a next one
    pieces = Pieces([[] for _ in words])
    broken: set[int] = set()
    word = position = 0
    for token, (start, end) in zip(tokens.ids, tokens.offsets, strict=True):
        if not position <= start <= end <= len(text):
            return Pieces([[] for _ in words]), set(range(count))
        if start < end and (text[start].isspace() or text[end - 1].isspace()):
            start, end = _without_space(text, start, end, bounds, word)
        position = start
        while word < count and bounds[word][1] <= start:
            word += 1
        if end <= bounds[word][0]:
            pieces.before.setdefault(word, []).append(token)  # white space, or a token without width
            continue
        if bounds[word + 1][0] < end:
            broken.update(other for other in range(word, count) if bounds[other][0] < end)
        pieces.of_word[word].append(token)
    return pieces, broken


def nearest_with_tokens(numbers: Iterable[int], of_word: list[list[int]]) -> set[int]:
    """The nearest words with tokens to the left and right of each of the given words, which have none."""
    filled = [number for number, ids in enumerate(of_word) if ids]
    nearest: set[int] = set()
    for number in numbers:
        position = bisect_left(filled, number)
        nearest.update(filled[max(0, position - 1) : position + 1])
    return nearest


def _without_space(
    text: str, start: int, end: int, bounds: list[tuple[int, int]], word: int
) -> tuple[int, int]:
    """Strip white space from a token's offsets, unless a word consists of this white space."""
    token = text[start:end]
    if token.strip():
        return start + len(token) - len(token.lstrip()), end - len(token) + len(token.rstrip())
    while word < len(bounds) and bounds[word][1] <= start:
        word += 1
    is_word = word < len(bounds) and bounds[word][0] < end
    return (max(start, bounds[word][0]), end) if is_word else (end, end)
