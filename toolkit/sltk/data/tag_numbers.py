"""The numbers of the gold tags of sentences, from which a head learns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import schemes
from ..schemes.labels import LabelSet
from ..types import Sentence


@dataclass(frozen=True, slots=True)
class TagNumbers:
    """Numbers the tags of a sentence: one number per word, or one per word and layer in the scheme `layers`."""

    labels: LabelSet
    depth: int = 1
    """Number of layers; sentences with fewer have `O` in the others."""

    @classmethod
    def of(cls, labels: LabelSet, sentences: Iterable[Sentence]) -> TagNumbers:
        """For all of these sentences, with as many layers as the deepest of them."""
        return cls(labels, depth_of(sentences) if labels.scheme == "layers" else 1)

    def __call__(self, tags: Sequence[str]) -> list[int] | list[list[int]]:
        """`[W]`, or `[W, D]` in the scheme `layers`."""
        index = self.labels.index
        if self.labels.scheme != "layers":
            return [index[tag] for tag in tags]
        layers = schemes.split_layers(tags)
        layers += [[schemes.OUTSIDE] * len(tags)] * (self.depth - len(layers))
        return [[index[tag] for tag in word] for word in zip(*layers, strict=True)]


def depth_of(sentences: Iterable[Sentence]) -> int:
    """The number of layers of sentences with tags in the scheme `layers`; 1 at least."""
    return max((tag.count(schemes.SEPARATOR) + 1 for s in sentences for tag in s.tags or ()), default=1)
