"""Mentions in the bracket notation of CorefUD and GUM: `(e1-person-1-` opens the mention e1, and `e1)` closes it.

The parts of an opening bracket are fields, whose order a comment declares: `# global.Entity = eid-etype-head-other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...schemes.styles import NO_TYPE
from .brackets import BracketError

_TOKEN = re.compile(r"\((?P<opened>[^()\s]+?)(?=\*?(?:[()]|$))|\*|(?P<closed>[^()*\s]*)\)")
_CELL = re.compile(rf"(?:{_TOKEN.pattern.replace('?P<opened>', '?:').replace('?P<closed>', '?:')})+")
_PART = re.compile(r"(?P<id>.+)\[(?P<part>\d+)/(?P<parts>\d+)\]")
_ID_NAMES = ("eid", "grp", "id")
_TYPE_NAMES = ("etype", "entity", "type")


@dataclass(frozen=True, slots=True)
class Mention:
    """Cells `start` to `end` (not included) are a mention, or one part of it."""

    start: int
    end: int
    type: str
    id: str
    part: int = 1
    parts: int = 1


@dataclass(frozen=True, slots=True)
class BracketFields:
    """The places of id and type among the fields of an opening bracket; None if it has no such field."""

    id: int | None = 0
    type: int | None = 1
    declared: bool = False

    @classmethod
    def declared_by(cls, comment: str) -> BracketFields:
        """The fields of a comment such as `eid-etype-head-other`."""
        names = comment.strip().lower().split("-")
        id_, type_ = (
            next((names.index(name) for name in known if name in names), None)
            for known in (_ID_NAMES, _TYPE_NAMES)
        )
        return cls(id_, type_, declared=True)

    def parse(self, bracket: str) -> tuple[str, str]:
        """Id and type of an opening bracket; the type is empty if it has none."""
        fields = bracket.split("-")
        if not self.declared and len(fields) == 1:
            return bracket, "" if bracket.isdigit() else bracket
        places = (self.id, self.type)
        id_, type_ = ("" if place is None or place >= len(fields) else fields[place] for place in places)
        if not self.declared and type_.isdigit() and not id_.isdigit():
            id_, type_ = type_, id_  # older corpora of GUM have the type first
        return id_, type_


def is_bracketed(label: str) -> bool:
    """Whether a label is in this notation."""
    return label.startswith("(") or label.endswith(")")


def mentions_of(
    cells: Sequence[str | None], fields: BracketFields, types: dict[str, str] | None = None
) -> list[Mention]:
    """The mentions of a sentence, which may nest, overlap and have parts, by their first cell.

    `types` are those of the entities of the document so far, for mentions that do not repeat it; it is updated.

    Raises:
        BracketError: a cell in another notation, one that closes a mention that is not open, or one left open.
    """
    mentions: list[Mention] = []
    types = {} if types is None else types
    opened: list[tuple[int, str]] = []
    for index, cell in enumerate(cells):
        if cell is None:
            continue
        if not _CELL.fullmatch(cell):
            message = f"`{cell[:40]}` is not a bracketed label: expected `(e1-TYPE`, `e1)` or `(e1-TYPE)`"
            raise BracketError(message, index)
        for token in _TOKEN.finditer(cell):
            if token["opened"]:
                opened.append((index, token["opened"]))
                id_, type_ = fields.parse(token["opened"])
                if id_ and type_:
                    types.setdefault(id_.partition("[")[0], type_)
            elif token["closed"] is not None:
                start, bracket = _close(opened, token["closed"], fields, index)
                mentions.append(_mention(start, index + 1, fields.parse(bracket), types))
    if opened:
        start, bracket = opened[-1]
        raise BracketError(f"the mention `({bracket[:40]}` is not closed in its sentence", start)
    return sorted(mentions, key=lambda mention: (mention.start, -mention.end))


def joined_parts(mentions: Iterable[Mention]) -> list[list[Mention]]:
    """The parts of each mention together, by its first part.

    A part belongs to the last mention of its id and number of parts before it that ends with the part before.
    """
    joined: list[list[Mention]] = []
    for mention in mentions:
        others = reversed(joined) if mention.part > 1 else ()
        whole = next((parts for parts in others if _precedes(parts[-1], mention)), None)
        if whole is None:
            joined.append([mention])
        else:
            whole.append(mention)
    return joined


def _precedes(part: Mention, other: Mention) -> bool:
    return (part.id, part.parts, part.part + 1) == (other.id, other.parts, other.part)


def _close(opened: list[tuple[int, str]], name: str, fields: BracketFields, index: int) -> tuple[int, str]:
    """Remove the opening bracket that `name)` closes; without a name, the last one."""
    for place in reversed(range(len(opened))):
        bracket = opened[place][1]
        if not name or bracket == name or bracket.startswith(f"{name}-") or fields.parse(bracket)[0] == name:
            return opened.pop(place)
    raise BracketError(f"`{name[:40]})` closes a mention that is not open", index)


def _mention(start: int, end: int, parsed: tuple[str, str], types: dict[str, str]) -> Mention:
    id_, type_ = parsed
    part = _PART.fullmatch(id_)
    type_ = type_ or types.get(part["id"] if part else id_, NO_TYPE)
    if part is None:
        return Mention(start, end, type_, id_)
    return Mention(start, end, type_, part["id"], int(part["part"]), int(part["parts"]))
