"""The gold class of each candidate span, from the tags of the layers of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..schemes.labels import LabelSet
from ..schemes.rules import OUTSIDE_ROLE, parse_tag
from ..subwords.samples import IGNORED

Integers = NDArray[np.int64]


def candidate_classes(
    tags_WD: Integers,
    lengths_S: Sequence[int],
    labels: LabelSet,
    max_width: int,
    classes: Sequence[Sequence[str]],
) -> Integers:
    """[W, K]: the class of the span that begins at each word and has 1, 2, … K words.

    0 is no span, and -100 is a span that crosses the end of its sentence, or begins at a word without a loss. Words
    with several types that no class has together have the class of the first one; spans wider than K have none.

    Args:
        tags_WD: numbers of the tags of each layer.
        lengths_S: words of each sentence.
        labels: the tags.
        max_width: K.
        classes: the types of each class, in order; the first is no span.
    """
    lengths = np.asarray(lengths_S, dtype=np.int64)
    left_W = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tags_WD))
    types: dict[tuple[int, int], list[str]] = {}
    for tags_W in tags_WD.T:
        for start, width, type_ in _spans(tags_W, labels):
            if width <= max_width:
                types.setdefault((start, width - 1), []).append(labels.types[type_])
    numbers = {tuple(each): number for number, each in enumerate(classes)}
    classes_WK = np.zeros((len(tags_WD), max_width), dtype=np.int64)
    for place, names in types.items():
        classes_WK[place] = numbers.get(tuple(sorted(names)), numbers[min(names),])
    is_outside = np.arange(1, max_width + 1) > left_W[:, None]
    classes_WK[is_outside | (tags_WD[:, :1] == IGNORED)] = IGNORED
    return classes_WK


def _spans(tags_W: Integers, labels: LabelSet) -> Iterator[tuple[int, int, int]]:
    """First word, width and type of the spans of one layer, whose tags are well-formed."""
    numbers = {type_: number for number, type_ in enumerate(labels.types)}
    roles = [parse_tag(tag, labels.scheme) or OUTSIDE_ROLE for tag in labels.tags]
    types_L = np.array([numbers.get(type_, -1) for _, type_ in roles])
    begins_L = np.array([role == "B" for role, _ in roles])
    inside_L = np.array([role == "I" for role, _ in roles])
    known_W = np.maximum(tags_W, 0)
    begins = np.flatnonzero(begins_L[known_W] & (tags_W != IGNORED))
    ends = np.append(np.flatnonzero(~inside_L[known_W] | (tags_W == IGNORED)), len(tags_W))
    after = ends[np.searchsorted(ends, begins, side="right")]
    return zip(begins.tolist(), (after - begins).tolist(), types_L[known_W[begins]].tolist(), strict=True)
