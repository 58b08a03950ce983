"""The engine: tags to spans, spans to tags, one scheme to another. Each takes one pass over the sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from ..types import Span
from .rules import LENIENT, OUTSIDE, RULES, STRICT, Role, SchemeError, TransitionTable, parse, written

if TYPE_CHECKING:
    from .names import Repair, SchemeName

Chunk = tuple[int, int, str]
"""A span as a bare tuple: start, end (not included), type."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The spans of a tag sequence in order, and the number of words whose tag was read as another one."""

    spans: list[Span]
    repaired: int


def tags_of(types: Iterable[str], scheme: SchemeName) -> list[str]:
    """All tags that spans of these types can have: `O`, then type by type. In `plain` a type is a tag."""
    if scheme == "plain":
        return list(types)
    letters = RULES[scheme].letters.values()
    return ["O", *(f"{letter}-{type_}" for type_ in types for letter in letters)]


def chunks(tags: Sequence[str], scheme: SchemeName, *, strict: bool) -> list[Chunk]:
    """The spans of a tag sequence as bare tuples: what `decode` finds, faster, for counting.

    Raises:
        SchemeError: a tag that the scheme does not have.
    """
    return [] if scheme == "plain" else _chunks(parse(tags, scheme), STRICT[scheme] if strict else LENIENT)


def _chunks(roles: Iterable[Role], table: TransitionTable) -> list[Chunk]:
    """The spans that a table finds; `start` is below 0 where no span is open."""
    found: list[Chunk] = []
    start, before, type_before = -1, "O", ""
    for index, (role, type_) in enumerate(chain(roles, (OUTSIDE,))):
        if role == before == "O":
            continue
        continues, closes, opens = table[before, role, type_ == type_before]
        if start < 0 or not continues:
            if start >= 0 and closes:
                found.append((start, index, type_before))
            start = index if opens else -1
        before, type_before = role, type_
    return found


def decode(tags: Sequence[str], scheme: SchemeName, repair: Repair = "conlleval") -> Decoded:
    """The spans of a tag sequence, in order. Plain tags have none.

    Where the sequence is ill-formed, `repair` says what is done: `conlleval` reads a stray I- (or E-, L-, M-)
    as the beginning of a span, `drop` finds just the spans that seqeval's strict mode counts, `error` raises.
    `repaired` counts the words whose tag is not the one that `encode` gives them for those spans.

    Raises:
        SchemeError: a tag that the scheme does not have; with `error`, the first one that cannot stand there.
    """
    if scheme == "plain":
        return Decoded([], 0)
    roles = parse(tags, scheme)
    found = _chunks(roles, STRICT[scheme] if repair == "drop" else LENIENT)
    wanted = _roles(found, len(tags), scheme)
    wrong = [index for index, (is_, should) in enumerate(zip(roles, wanted, strict=True)) if is_ != should]
    if wrong and repair == "error":
        raise _ill_formed(tags, wrong[0], written(wanted[wrong[0]], scheme), scheme)
    return Decoded([Span(*chunk) for chunk in found], len(wrong))


def _ill_formed(tags: Sequence[str], index: int, wanted: str, scheme: str) -> SchemeError:
    before = f"after `{tags[index - 1]}`" if index else "at the beginning of a sentence"
    after = f"before `{tags[index + 1]}`" if index + 1 < len(tags) else "at the end of a sentence"
    return SchemeError(
        f"`{tags[index]}` {before} and {after} is ill-formed {scheme}: `{wanted}` would be right", index
    )


def encode(spans: Iterable[Span], length: int, scheme: SchemeName) -> list[str]:
    """The tags of a sentence of `length` words that has these spans, in any order.

    IO cannot tell where one span ends and another of its type begins: see `merged`.

    Raises:
        ValueError: two spans overlap, one lies outside the sentence or has no type, or the scheme is `plain`.
    """
    if scheme == "plain":
        raise ValueError("plain tags cannot be made of spans")
    ordered = sorted(spans)
    for span in ordered:
        if not 0 <= span.start < span.end <= length or not span.type:
            raise ValueError(f"{_named(span)} has no type, or is no span of a sentence of {length} words")
    for left, right in pairwise(ordered):
        if right.start < left.end:
            raise ValueError(f"{_named(left)} and {_named(right)} overlap: one tag a word cannot hold both")
    roles = _roles(((span.start, span.end, span.type) for span in ordered), length, scheme)
    return [written(role, scheme) for role in roles]


def _roles(ordered: Iterable[Chunk], length: int, scheme: str) -> list[Role]:
    roles, rules = [OUTSIDE] * length, RULES[scheme]
    inside, end_before, type_before = rules.role(False, False), -1, ""
    for start, end, type_ in ordered:
        roles[start:end] = [(inside, type_)] * (end - start)
        roles[end - 1] = (rules.role(False, True), type_)
        if scheme != "IOB1" or (start == end_before and type_ == type_before):
            roles[start] = (rules.role(True, start == end - 1), type_)
        end_before, type_before = end, type_
    return roles


def _named(span: Span) -> str:
    return f"{span.type or '(no type)'}[{span.start}:{span.end}]"


def convert(
    tags: Sequence[str], source: SchemeName, target: SchemeName, repair: Repair = "conlleval"
) -> tuple[list[str], int]:
    """The same spans in another scheme, and how many words were ill-formed in the first.

    Any tags are plain tags, so that a conversion to `plain` leaves them as they are.

    Raises:
        SchemeError: as `decode`.
        ValueError: from `plain` to a scheme of spans.
    """
    if target == "plain":
        return list(tags), 0
    if source == "plain":
        raise ValueError(f"plain tags mark no spans: they cannot be converted to {target}")
    decoded = decode(tags, source, repair)
    return encode(decoded.spans, len(tags), target), decoded.repaired


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans that IO runs into the one before: those next to one of their type."""
    return [
        right
        for left, right in pairwise(sorted(spans))
        if left.end == right.start and left.type == right.type
    ]
