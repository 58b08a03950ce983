"""Responses as spans: parsed as in the paper (section 5), or so that a malformed piece costs only itself.

Both split a response at `;` and each piece at its last `:`, and look for the span's words in the sentence, from
a cursor that moves forward. The paper's way gives a sentence with a malformed piece no span at all (a piece of
an unknown type counts as malformed), and never looks behind its cursor. The tolerant way drops a malformed piece
alone, and finds a span that comes out of turn at its first place that is still free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from ...spec.instruct_settings import OPTION, SPAN
from ...types import Response, Span
from .prompt import readable


def parse(
    response: Response, words: Sequence[str], types: dict[str, str], mode: Literal["tolerant", "paper"]
) -> tuple[list[Span], Response]:
    """The spans that a response names, in order, and the response with what of it could not be used.

    Args:
        response: what the model wrote.
        words: the words of the sentence.
        types: the type that each option stands for.
        mode: what a malformed piece costs.
    """
    text = response.text.strip()
    pieces = text.split(SPAN) if text else []
    named = [_named(piece) for piece in pieces]
    malformed = sum(pair is None for pair in named)
    known = [pair for pair in named if pair is not None and pair[1] in types]
    unknown = len(pieces) - malformed - len(known)
    counted = replace(response, pieces=len(pieces), malformed=malformed, unknown_type=unknown)
    if mode == "paper" and (malformed or unknown):
        return [], replace(counted, lost_sentence=True)
    spans = _matched(known, readable(words), types, forward_only=mode == "paper")
    return sorted(spans), replace(counted, unmatched=len(known) - len(spans))


def _named(piece: str) -> tuple[str, str] | None:
    """Text and option of a piece; None where it is malformed."""
    text, sign, option = piece.rpartition(OPTION)
    text, option = text.strip(), option.strip()
    return (text, option) if sign and text and option else None


def _matched(
    named: Sequence[tuple[str, str]], words: Sequence[str], types: dict[str, str], *, forward_only: bool
) -> list[Span]:
    """Spans for the texts that are found in the sentence, without overlap."""
    found: list[Span] = []
    taken = [False] * len(words)
    cursor = 0
    for text, option in named:
        place = next(_places(text, words, taken, cursor), None)
        if place is None and not forward_only:
            place = next(_places(text, words, taken, 0), None)
        if place is None:
            continue
        start, end = place
        found.append(Span(start, end, types[option]))
        taken[start:end] = [True] * (end - start)
        cursor = max(cursor, end)
    return found


def _places(text: str, words: Sequence[str], taken: Sequence[bool], cursor: int) -> Iterator[tuple[int, int]]:
    """Where words from `cursor` on, joined by spaces, are the text and belong to no span yet."""
    for start in range(cursor, len(words)):
        end, length = start, -1
        while end < len(words) and length < len(text):
            length += 1 + len(words[end])
            end += 1
        if length == len(text) and " ".join(words[start:end]) == text and not any(taken[start:end]):
            yield start, end
