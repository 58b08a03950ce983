"""Which types were predicted for which, over the same words."""

from __future__ import annotations

from collections.abc import Sequence

from ...schemes import Chunk


def type_pairs(gold: Sequence[Chunk], predicted: Sequence[Chunk]) -> list[tuple[str, str]]:
    """The gold and the predicted type of spans with the same ends; the type of a side without such a span is empty.

    Of several spans over the same words, those of equal types are pairs, and the others in alphabetical order.
    """
    correct = set(gold).intersection(predicted)
    others: dict[tuple[int, int], list[str]] = {}
    for span in sorted(set(predicted) - correct, reverse=True):
        others.setdefault(span[:2], []).append(span[2])
    pairs = [(type_, type_) for _, _, type_ in correct]
    for span in sorted(set(gold) - correct):
        same_ends = others.get(span[:2])
        pairs.append((span[2], same_ends.pop() if same_ends else ""))
    return pairs + [("", type_) for rest in others.values() for type_ in rest]
