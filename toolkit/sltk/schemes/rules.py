"""The rules of the tag schemes: their letters, and which tags may follow each other.

A word has one of four *roles* in its span: B, I, E or S. Each scheme has its own letters for them: BILOU writes
`L` for E. A table says for each pair of adjacent words whether the second continues the span of the first, closes
the span before it, and opens a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import cast

Role = tuple[str, str]
"""The content of a tag: one of the letters O, B, I, E, S, and the type (empty for O)."""
TransitionTable = Mapping[tuple[str, str, bool], tuple[bool, bool, bool]]
"""(role before, role, same type) → whether the word continues the span, closes the one before, opens one."""

OUTSIDE = "O"
"""The tag of a word outside all spans, in every scheme; with plain tags, that of a word without a label."""
OUTSIDE_ROLE: Role = (OUTSIDE, "")
SEPARATOR = "|"
"""Separates the layers in a tag of the scheme `layers`."""


class SchemeError(ValueError):
    """A tag that its scheme does not have or does not allow there; `index` is the word's index in its sentence."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Rules:
    """The letters of one scheme, and the roles that open and close a well-formed span."""

    letters: Mapping[str, str]
    """Role → letter, in the order in which tags are listed."""
    openers: str
    closers: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Letter → role, for letters that are read but never written."""

    def role(self, first: bool, last: bool) -> str:
        """The role of a word, by whether it is the first and the last word of its span."""
        order = {(True, True): "SBI", (True, False): "BI", (False, True): "EI", (False, False): "I"}
        return next(role for role in order[first, last] if role in self.letters)


RULES: dict[str, Rules] = {
    "IOB1": Rules({"B": "B", "I": "I"}, "I", "BI"),
    "IOB2": Rules({"B": "B", "I": "I"}, "B", "BI"),
    "IO": Rules({"I": "I"}, "I", "I"),
    "BIOES": Rules({"B": "B", "I": "I", "E": "E", "S": "S"}, "BS", "ES"),
    "BILOU": Rules({"B": "B", "I": "I", "E": "L", "S": "U"}, "BS", "ES"),
    # BMEWO writes W for a single-word span.
    "BMES": Rules({"B": "B", "I": "M", "E": "E", "S": "S"}, "BS", "ES", {"W": "S"}),
    # The rules of one layer: see `layers.py`.
    "layers": Rules({"B": "B", "I": "I"}, "B", "BI"),
}
SCHEMES: tuple[str, ...] = (*RULES, "plain")
"""The names of all schemes."""


def _continues(before: str, role: str, same: bool) -> bool:
    return same and before in "BI" and role in "IE"


def _strict_table(scheme: str) -> TransitionTable:
    """The patterns of seqeval's strict mode (its `scheme.py`), which also define well-formedness."""
    rules, table = RULES[scheme], {}
    for before, role, same in product("OBIES", "OBIES", (False, True)):
        opens, closes = role in rules.openers, before in rules.closers
        if scheme == "IOB1" and role == "B":
            # B- separates spans of one type; anywhere else it opens none, and does not close another B-.
            opens = same and before in "BI"
            closes = same or before == "I"
        table[before, role, same] = (_continues(before, role, same), closes, opens)
    return table


STRICT: dict[str, TransitionTable] = {scheme: _strict_table(scheme) for scheme in RULES}
LENIENT: TransitionTable = {
    (before, role, same): (_continues(before, role, same), True, role != "O")
    for before, role, same in product("OBIES", "OBIES", (False, True))
}


def allowed(before: Role, role: Role, scheme: str) -> bool:
    """Whether `role` may follow `before` in a well-formed sequence; sentences are padded with O."""
    continues, closes, opens = STRICT[scheme][before[0], role[0], before[1] == role[1]]
    return continues or ((closes or before == OUTSIDE_ROLE) and (opens or role == OUTSIDE_ROLE))


@lru_cache(maxsize=65536)
def parse_tag(tag: str, scheme: str) -> Role | None:
    """The role and type of a tag; None if the scheme has no such tag. In `layers`, the tag is that of one layer."""
    if tag == OUTSIDE:
        return OUTSIDE_ROLE
    if scheme == "layers" and SEPARATOR in tag:
        return None
    letter, hyphen, type_ = tag[:1], tag[1:2], tag[2:]
    rules = RULES[scheme]
    roles = {**{written: role for role, written in rules.letters.items()}, **rules.aliases}
    role = roles.get(letter)
    return (role, type_) if role and hyphen == "-" and type_ else None


def parse(tags: Sequence[str], scheme: str) -> list[Role]:
    """The roles and types of a sentence's tags.

    Raises:
        SchemeError: a tag that the scheme does not have.
    """
    roles = [parse_tag(tag, scheme) for tag in tags]
    if None in roles:
        index = roles.index(None)
        known = ", ".join(f"{letter}-TYPE" for letter in RULES[scheme].letters.values())
        raise SchemeError(f"`{tags[index]}` is not a tag of {scheme}, whose tags are {known} and O", index)
    return cast(list[Role], roles)


def format_tag(role: Role, scheme: str) -> str:
    """The tag for a role and type."""
    return OUTSIDE if role == OUTSIDE_ROLE else f"{RULES[scheme].letters[role[0]]}-{role[1]}"
