"""Convert tags to spans, spans to tags, and tags between schemes, in one pass over the sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from ..types import Span
from .layers import assign_layers, join_layers, split_layers
from .rules import (
    LENIENT,
    OUTSIDE,
    OUTSIDE_ROLE,
    RULES,
    SEPARATOR,
    STRICT,
    Role,
    SchemeError,
    TransitionTable,
    format_tag,
    parse,
)

if TYPE_CHECKING:
    from .names import Repair, SchemeName

Chunk = tuple[int, int, str]
"""A span as a tuple: start, end (not included), type."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The spans of a tag sequence in order, and the number of words whose tag was read as another."""

    spans: list[Span]
    repaired: int


def tags_of(types: Iterable[str], scheme: SchemeName) -> list[str]:
    """All tags that spans of these types can have: `O`, then type by type. In `plain`, types are tags.

    In `layers`, they are the tags of one layer.
    """
    if scheme == "plain":
        return list(types)
    letters = RULES[scheme].letters.values()
    return [OUTSIDE, *(f"{letter}-{type_}" for type_ in types for letter in letters)]


def chunks(tags: Sequence[str], scheme: SchemeName, *, strict: bool) -> list[Chunk]:
    """The spans of a tag sequence as tuples: the same spans as `decode`, but faster, for counting.

    Raises:
        SchemeError: a tag that the scheme does not have.
    """
    if scheme == "plain":
        return []
    table = STRICT[scheme] if strict else LENIENT
    if scheme != "layers":
        return _chunks(parse(tags, scheme), table)
    layers = split_layers(tags)
    found = [chunk for layer in layers for chunk in _chunks(parse(layer, scheme), table)]
    return found if len(layers) == 1 else sorted(set(found))


def _chunks(roles: Iterable[Role], table: TransitionTable) -> list[Chunk]:
    """The spans of a sequence of roles; `start` is negative while no span is open."""
    spans: list[Chunk] = []
    start, before, type_before = -1, "O", ""
    for index, (role, type_) in enumerate(chain(roles, (OUTSIDE_ROLE,))):
        if role == before == "O":
            continue
        continues, closes, opens = table[before, role, type_ == type_before]
        if start < 0 or not continues:
            if start >= 0 and closes:
                spans.append((start, index, type_before))
            start = index if opens else -1
        before, type_before = role, type_
    return spans


def decode(tags: Sequence[str], scheme: SchemeName, repair: Repair = "conlleval") -> Decoded:
    """The spans of a tag sequence, in order. Plain tags have none.

    `repair` says how to read ill-formed sequences: `conlleval` lets a stray I- (or E-, L-, M-) open a span, `drop`
    reads the spans that seqeval's strict mode counts, `error` raises.
    `repaired` counts the words whose tag differs from the one that `encode` writes for these spans.

    Raises:
        SchemeError: a tag that the scheme does not have; with `error`, the first ill-formed one.
    """
    if scheme == "plain":
        return Decoded([], 0)
    spans: list[Chunk] = []
    repaired: set[int] = set()
    for number, layer in enumerate(split_layers(tags) if scheme == "layers" else [tags]):
        own, wrong = _read(layer, scheme, repair)
        twice = [chunk for chunk in own if number and chunk in spans]
        if twice and repair == "error":
            first = Span(*twice[0])
            raise SchemeError(f"the span {_describe(first)} is annotated in two layers", first.start)
        repaired.update(wrong, *(range(start, end) for start, end, _ in twice))
        spans += [chunk for chunk in own if chunk not in twice] if twice else own
    return Decoded([Span(*chunk) for chunk in sorted(spans)], len(repaired))


def _read(tags: Sequence[str], scheme: str, repair: Repair) -> tuple[list[Chunk], list[int]]:
    """The spans of the tags of one layer, and the words whose tag was read as another."""
    roles = parse(tags, scheme)
    spans = _chunks(roles, STRICT[scheme] if repair == "drop" else LENIENT)
    expected = _roles(spans, len(tags), scheme)
    wrong = [index for index, pair in enumerate(zip(roles, expected, strict=True)) if pair[0] != pair[1]]
    if wrong and repair == "error":
        raise _ill_formed(tags, wrong[0], format_tag(expected[wrong[0]], scheme), scheme)
    return spans, wrong


def _ill_formed(tags: Sequence[str], index: int, expected: str, scheme: str) -> SchemeError:
    before = f"after `{tags[index - 1]}`" if index else "at the beginning of a sentence"
    after = f"before `{tags[index + 1]}`" if index + 1 < len(tags) else "at the end of a sentence"
    return SchemeError(
        f"`{tags[index]}` {before} and {after} is ill-formed {scheme}: expected `{expected}`", index
    )


def encode(spans: Iterable[Span], length: int, scheme: SchemeName) -> list[str]:
    """The tags of a sentence of `length` words with these spans, given in any order.

    IO cannot separate adjacent spans of one type: see `merged`. `layers` holds spans that overlap, each of them once.

    Raises:
        ValueError: two spans overlap, one lies outside the sentence or has no type, or the scheme is `plain`; in
            `layers`, a type contains the separator of layers instead.
    """
    if scheme == "plain":
        raise ValueError("spans cannot be written as plain tags")
    ordered = sorted(spans)
    for span in ordered:
        if not 0 <= span.start < span.end <= length or not span.type:
            raise ValueError(f"{_describe(span)} has no type, or is not inside a sentence of {length} words")
    if scheme == "layers":
        return _encode_layers(ordered, length)
    for left, right in pairwise(ordered):
        if right.start < left.end:
            raise ValueError(f"{_describe(left)} and {_describe(right)} overlap: a word has only one tag")
    return _layer_tags(ordered, length, scheme)


def _encode_layers(spans: Sequence[Span], length: int) -> list[str]:
    for span in spans:
        if SEPARATOR in span.type:
            raise ValueError(f"the type `{span.type}` contains `{SEPARATOR}`, which separates layers of tags")
    layers = [sorted(layer) for layer in assign_layers(set(spans))]
    return join_layers([_layer_tags(layer, length, "layers") for layer in layers])


def _layer_tags(ordered: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of spans that do not overlap."""
    roles = _roles(((span.start, span.end, span.type) for span in ordered), length, scheme)
    return [format_tag(role, scheme) for role in roles]


def _roles(ordered: Iterable[Chunk], length: int, scheme: str) -> list[Role]:
    roles, rules = [OUTSIDE_ROLE] * length, RULES[scheme]
    inside, end_before, type_before = rules.role(False, False), -1, ""
    for start, end, type_ in ordered:
        roles[start:end] = [(inside, type_)] * (end - start)
        roles[end - 1] = (rules.role(False, True), type_)
        if scheme != "IOB1" or (start == end_before and type_ == type_before):
            roles[start] = (rules.role(True, start == end - 1), type_)
        end_before, type_before = end, type_
    return roles


def _describe(span: Span) -> str:
    return f"{span.type or '(no type)'}[{span.start}:{span.end}]"


def convert(
    tags: Sequence[str], source: SchemeName, target: SchemeName, repair: Repair = "conlleval"
) -> tuple[list[str], int]:
    """Convert tags to another scheme; also return the number of words with ill-formed tags.

    Conversion to `plain` returns the tags unchanged.

    Raises:
        SchemeError: `source` does not have a tag; with `error`, a tag is ill-formed.
        ValueError: `source` is `plain` and `target` is not, or spans overlap in `layers` that `target` cannot hold:
            `encodable` leaves some out.
    """
    if target == "plain":
        return list(tags), 0
    if source == "plain":
        raise ValueError(f"plain tags mark no spans: they cannot be converted to {target}")
    decoded = decode(tags, source, repair)
    return encode(decoded.spans, len(tags), target), decoded.repaired


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans that IO merges with the one before: those directly after one of the same type."""
    return [
        right
        for left, right in pairwise(sorted(spans))
        if left.end == right.start and left.type == right.type
    ]


def encodable(spans: Iterable[Span], scheme: SchemeName) -> tuple[list[Span], list[Span]]:
    """Split spans into those that tags of a scheme can hold together, and the rest, both in order of the sentence.

    `layers` holds all of them, but a span that is there twice only once; for other schemes see `resolve_overlaps`.
    """
    if scheme != "layers":
        return resolve_overlaps(spans)
    kept: dict[Span, None] = {}
    repeated: list[Span] = []
    for span in sorted(spans):
        repeated.append(span) if span in kept else kept.setdefault(span)
    return list(kept), repeated


def resolve_overlaps(spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
    """Split spans into some that do not overlap, and the rest, both in order of the sentence.

    The longest span is kept first; of equally long ones the leftmost; of spans over the same words the one whose
    type is first in alphabetical order. The result does not depend on the order of `spans`.
    """
    ranked = sorted(spans, key=lambda span: (span.start - span.end, span.start, span.type))
    taken = bytearray(max((span.end for span in ranked), default=0))
    kept: list[Span] = []
    dropped: list[Span] = []
    for span in ranked:
        # No kept span is shorter than this one, so one that overlaps it covers its first or its last word.
        if taken[span.start] or taken[span.end - 1]:
            dropped.append(span)
        else:
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept), sorted(dropped)
