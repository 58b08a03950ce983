"""Transitions that a scheme allows, for the CRF; and detection of the scheme of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from .rules import OUTSIDE, allowed, parse, parse_tag

if TYPE_CHECKING:
    from .names import SchemeName

_DETECTABLE: tuple[SchemeName, ...] = ("IOB2", "IOB1", "BIOES", "BILOU", "BMES")
"""In order of preference, if several fit. IO is detected as IOB1, which reads it in the same way."""

TagPairs = Mapping[tuple[str, str], int]
"""Number of times that one tag follows another; sentences are padded with O."""


def transitions(tags: Sequence[str], scheme: SchemeName) -> tuple[list[bool], list[list[bool]], list[bool]]:
    """Compute whether each tag may begin a sentence, follow each other tag (`pairs[before][after]`), or end a sentence.

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
    """Detect the scheme of a data set: the one with the fewest ill-formed words.

    Data with no tag except `O` is IOB2. Data in which most tags lack the form `B-PER` is `plain`; if they are
    the exception they are treated as errors, which `decode` reports.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for tags in tag_sequences:
        pairs.update(pairwise(chain(("O",), tags, ("O",))))
    if _mostly_plain(pairs):
        return "plain"
    return min(_DETECTABLE, key=lambda scheme: _ill_formed(pairs, scheme))


def _mostly_plain(pairs: TagPairs) -> bool:
    """Whether most words that are not O have tags of no scheme."""
    balance = 0
    for (_, tag), count in pairs.items():
        if tag != "O":
            balance += -count if any(parse_tag(tag, scheme) for scheme in _DETECTABLE) else count
    return balance > 0


def _ill_formed(pairs: TagPairs, scheme: str) -> int:
    """Number of words with a tag that the scheme does not allow after the tag before it."""
    total = 0
    for (before, tag), count in pairs.items():
        left, right = parse_tag(before, scheme), parse_tag(tag, scheme)
        if left is None or right is None or not allowed(left, right, scheme):
            total += count
    return total
