"""What a scheme allows: for the CRF, and to tell which scheme a data set is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from .rules import OUTSIDE, allowed, parse, parsed

if TYPE_CHECKING:
    from .names import SchemeName

_DETECTABLE: tuple[SchemeName, ...] = ("IOB2", "IOB1", "BIOES", "BILOU", "BMES")
"""The first wins where the data cannot tell. IO data comes out as IOB1, which reads it the same."""

Neighbours = Mapping[tuple[str, str], int]
"""How often one tag follows another; beyond the ends of a sentence all is O."""


def transitions(tags: Sequence[str], scheme: SchemeName) -> tuple[list[bool], list[list[bool]], list[bool]]:
    """Which tags may begin a sentence, which may follow which (`pairs[before][after]`), which may end it.

    Raises:
        SchemeError: a tag that the scheme does not have.
    """
    if scheme == "plain":
        return [True] * len(tags), [[True] * len(tags) for _ in tags], [True] * len(tags)
    roles = parse(tags, scheme)
    pairs = [[allowed(before, role, scheme) for role in roles] for before in roles]
    start = [allowed(OUTSIDE, role, scheme) for role in roles]
    return start, pairs, [allowed(role, OUTSIDE, scheme) for role in roles]


def detect(tag_sequences: Iterable[Sequence[str]]) -> SchemeName:
    """The scheme that the tags of a data set are in: the one with the fewest words out of place.

    Data of nothing but `O` is IOB2. Where hardly any tag has the form `B-PER` it is `plain`; a few other tags
    among many of that form are taken for slips, for `decode` to report.
    """
    neighbours: Counter[tuple[str, str]] = Counter()
    for tags in tag_sequences:
        neighbours.update(pairwise(chain(("O",), tags, ("O",))))
    if _mostly_plain(neighbours):
        return "plain"
    return min(_DETECTABLE, key=lambda scheme: _out_of_place(neighbours, scheme))


def _mostly_plain(neighbours: Neighbours) -> bool:
    """Whether most words that are not O have tags of no scheme."""
    balance = 0
    for (_, tag), count in neighbours.items():
        if tag != "O":
            balance += -count if any(parsed(tag, scheme) for scheme in _DETECTABLE) else count
    return balance > 0


def _out_of_place(neighbours: Neighbours, scheme: str) -> int:
    """How many words the scheme does not allow where they stand."""
    total = 0
    for (before, tag), count in neighbours.items():
        left, right = parsed(before, scheme), parsed(tag, scheme)
        if left is None or right is None or not allowed(left, right, scheme):
            total += count
    return total
