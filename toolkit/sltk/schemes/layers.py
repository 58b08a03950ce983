"""The scheme `layers`: a tag per word that joins the IOB2 tags of several layers, such as `B-ORG|B-LOC`.

It holds any set of distinct spans: nested ones, crossing ones, and several types over the same words. Layers of `O`
at the end of a tag are not written, so data without overlaps has the tags of IOB2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from ..types import Span
from .rules import OUTSIDE, SEPARATOR, SchemeError, parse_tag


def split_layers(tags: Sequence[str]) -> list[list[str]]:
    """The IOB2 tags of each layer; at least one layer.

    Raises:
        SchemeError: a tag with a part that is not a tag of IOB2.
    """
    parts = [_parts(tag) for tag in tags]
    if None in parts:
        index = parts.index(None)
        expected = f"tags of IOB2 joined by `{SEPARATOR}`, such as `B-ORG{SEPARATOR}B-LOC`"
        raise SchemeError(f"`{tags[index]}` is not a tag of layers: expected {expected}", index)
    depth = max((len(each) for each in parts if each), default=1)
    return [
        [each[layer] if layer < len(each) else OUTSIDE for each in parts if each] for layer in range(depth)
    ]


@lru_cache(maxsize=65536)
def _parts(tag: str) -> tuple[str, ...] | None:
    parts = tuple(tag.split(SEPARATOR))
    return parts if all(parse_tag(part, "layers") for part in parts) else None


def is_layered(tag: str) -> bool:
    """Whether a tag has the parts of several layers, each of which is a tag of IOB2."""
    return SEPARATOR in tag and _parts(tag) is not None


def is_layer_tag(tag: str) -> bool:
    """Whether the scheme has the tag."""
    return _parts(tag) is not None


def join_layers(layers: Sequence[Sequence[str]]) -> list[str]:
    """One tag per word from the IOB2 tags of each layer, without layers of `O` at its end."""
    return [_join(parts) for parts in zip(*layers, strict=True)]


def _join(parts: Sequence[str]) -> str:
    depth = len(parts)
    while depth > 1 and parts[depth - 1] == OUTSIDE:
        depth -= 1
    return SEPARATOR.join(parts[:depth])


def has_overlaps(spans: Iterable[Span]) -> bool:
    """Whether two of the spans share a word."""
    return any(right.start < left.end for left, right in pairwise(sorted(spans)))


def assign_layers(spans: Iterable[Span]) -> list[list[Span]]:
    """Distribute distinct spans over layers, so that no two spans of a layer overlap; at least one layer.

    The longest span comes first; of equally long ones the leftmost; then by type. Each goes to the first layer where
    its words are free. So nested spans are on the layers of their depth, and equal sets have equal layers.
    """
    ranked = sorted(spans, key=lambda span: (span.start - span.end, span.start, span.type))
    length = max((span.end for span in ranked), default=0)
    layers: list[list[Span]] = [[]]
    taken = [bytearray(length)]
    for span in ranked:
        # No span of a layer is shorter than this one, so one that overlaps it covers its first or its last word.
        layer = next(
            (n for n, words in enumerate(taken) if not (words[span.start] or words[span.end - 1])), len(taken)
        )
        if layer == len(taken):
            layers.append([])
            taken.append(bytearray(length))
        layers[layer].append(span)
        taken[layer][span.start : span.end] = b"\1" * (span.end - span.start)
    return layers
