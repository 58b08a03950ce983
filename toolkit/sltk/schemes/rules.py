"""The schemes as data: their letters, and what may stand beside what.

Each scheme writes the four *roles* that a word can have in a span (B, I, E, S) with letters of its own: `L`
is BILOU's letter for E. A table says for each pair of neighbours whether the second continues the span of the
first, closes what came before, and opens a span of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import cast

Role = tuple[str, str]
"""What a tag says: one of the letters O, B, I, E, S, and the type (empty for O)."""
TransitionTable = Mapping[tuple[str, str, bool], tuple[bool, bool, bool]]
"""(role before, role, same type) → whether the word continues the span, closes the one before, opens one."""

OUTSIDE: Role = ("O", "")


class SchemeError(ValueError):
    """A tag its scheme does not have, or not at that place; `index` is the word's number in its sentence."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Rules:
    """How one scheme writes the roles, and which of them open and close a well-formed span."""

    letters: Mapping[str, str]
    """Role → letter, in the order in which tags are listed."""
    openers: str
    closers: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Letter → role, of letters that are read but never written."""

    def role(self, first: bool, last: bool) -> str:
        """The role of a word that is, or is not, the first and the last one of its span."""
        order = {(True, True): "SBI", (True, False): "BI", (False, True): "EI", (False, False): "I"}
        return next(role for role in order[first, last] if role in self.letters)


RULES: dict[str, Rules] = {
    "IOB1": Rules({"B": "B", "I": "I"}, "I", "BI"),
    "IOB2": Rules({"B": "B", "I": "I"}, "B", "BI"),
    "IO": Rules({"I": "I"}, "I", "I"),
    "BIOES": Rules({"B": "B", "I": "I", "E": "E", "S": "S"}, "BS", "ES"),
    "BILOU": Rules({"B": "B", "I": "I", "E": "L", "S": "U"}, "BS", "ES"),
    # BMEWO writes W for a span of one word.
    "BMES": Rules({"B": "B", "I": "M", "E": "E", "S": "S"}, "BS", "ES", {"W": "S"}),
}
SCHEMES: tuple[str, ...] = (*RULES, "plain")
"""The names of all schemes."""


def _continues(before: str, role: str, same: bool) -> bool:
    return same and before in "BI" and role in "IE"


def _strict_table(scheme: str) -> TransitionTable:
    """The patterns of seqeval's strict mode (its `scheme.py`), which are also what is well-formed."""
    rules, table = RULES[scheme], {}
    for before, role, same in product("OBIES", "OBIES", (False, True)):
        opens, closes = role in rules.openers, before in rules.closers
        if scheme == "IOB1" and role == "B":
            # B- divides spans of one type; anywhere else it opens none, and does not close another B-.
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
    """Whether a well-formed sequence can have these neighbours; beyond the ends of a sentence all is O."""
    continues, closes, opens = STRICT[scheme][before[0], role[0], before[1] == role[1]]
    return continues or ((closes or before == OUTSIDE) and (opens or role == OUTSIDE))


@lru_cache(maxsize=65536)
def parsed(tag: str, scheme: str) -> Role | None:
    """The role and type of a tag; None where the scheme has no such tag."""
    if tag == "O":
        return OUTSIDE
    letter, hyphen, type_ = tag[:1], tag[1:2], tag[2:]
    rules = RULES[scheme]
    role = next(
        (role for role, written in rules.letters.items() if written == letter), rules.aliases.get(letter)
    )
    return (role, type_) if role and hyphen == "-" and type_ else None


def parse(tags: Sequence[str], scheme: str) -> list[Role]:
    """The roles and types of a sentence's tags.

    Raises:
        SchemeError: a tag that the scheme does not have.
    """
    roles = [parsed(tag, scheme) for tag in tags]
    if None in roles:
        index = roles.index(None)
        known = ", ".join(f"{letter}-TYPE" for letter in RULES[scheme].letters.values())
        raise SchemeError(f"`{tags[index]}` is not a tag of {scheme}, whose tags are {known} and O", index)
    return cast(list[Role], roles)


def written(role: Role, scheme: str) -> str:
    """The tag for a role and type."""
    return "O" if role == OUTSIDE else f"{RULES[scheme].letters[role[0]]}-{role[1]}"
