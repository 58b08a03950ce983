"""How many subwords fit into the positions of a model with all copies of `repeat`."""

from __future__ import annotations

from ...errors import Problem

FEWEST = 8
"""Subwords per copy: with fewer, most sentences would be cut into pieces of a few words."""


def shortage(repeat: int, positions: int | None) -> Problem | None:
    """The problem that the copies of no sentence fit into the positions of a model, or None."""
    copies = repeat + 1
    if copies == 1 or positions is None or positions >= FEWEST * copies:
        return None
    about = (
        f"`repeat: {repeat}` reads each sentence {copies} times, and the {positions} positions of the model hold "
        f"{positions // copies} subwords that often"
    )
    largest = positions // FEWEST - 1
    note = (
        f"expected at least {FEWEST} subwords: at most `repeat: {largest}`" if largest > 0 else "leave it out"
    )
    return Problem(about, path="backbone.repeat", notes=(note,))


def excess(max_length: int | None, repeat: int, positions: int | None) -> Problem | None:
    """The problem that inputs of `max_length` subwords do not fit into the positions with all copies, or None."""
    copies = repeat + 1
    if copies == 1 or max_length is None or positions is None or max_length * copies <= positions:
        return None
    inputs = f"{copies} copies of {max_length} subwords (`repeat: {repeat}`)"
    about = f"{inputs} exceed the {positions} positions of the model"
    note = f"set at most {positions // copies}, or leave it out"
    return Problem(about, path="max_length", notes=(note,))
