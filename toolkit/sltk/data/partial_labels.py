"""The tags that the words of a partly labelled sentence may have.

A corpus that does not annotate a type hides its spans behind `O`. So a word tagged `O` may be outside, or have any
tag of a hidden type. The words of an annotated span are certain, because spans do not overlap. Of these tags, only
those that are part of a well-formed sequence of allowed tags stay: in IOB2, I-LOC needs a word before it that may be
B-LOC or I-LOC, so neither the first word of a sentence nor the one after a span of another type can be I-LOC.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import schemes
from ..schemes.labels import LabelSet
from ..types import Sentence


class PartialLabels:
    """Finds the allowed tags of sentences for a model with these labels."""

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        is_plain = labels.scheme == "plain"
        self._types = frozenset(labels.tags) - {schemes.OUTSIDE} if is_plain else frozenset(labels.types)
        # A plain tag is its own type.
        self._type_of = {tag: tag if is_plain else tag[2:] for tag in labels.tags if tag != schemes.OUTSIDE}
        self._transitions = [np.array(each) for each in schemes.transitions(labels.tags, labels.scheme)]

    def of(self, sentence: Sentence) -> NDArray[np.bool_] | None:
        """[W, L]: whether each word may have each tag; None if its corpus annotates all types of the model.

        In the scheme `layers`, whether a layer of the word may have each tag where it has `O`.
        """
        hidden = sentence.unannotated(self._types)
        if not hidden or not len(sentence):
            return None
        if self._labels.scheme == "layers":
            return np.tile(self._hidden_or_outside(hidden), (len(sentence), 1))
        index, tags = self._labels.index, sentence.tags or []
        own = np.array([index[tag] for tag in tags])
        allowed = own[:, None] == np.arange(len(self._labels))
        is_hidden = np.array([self._type_of.get(tag) in hidden for tag in self._labels.tags])
        is_outside = np.array([tag == schemes.OUTSIDE for tag in tags])
        allowed |= is_outside[:, None] & is_hidden
        return _well_formed(allowed, *self._transitions)

    def _hidden_or_outside(self, hidden: frozenset[str]) -> NDArray[np.bool_]:
        """[L]: whether a tag may be what `O` hides; in layers, spans of hidden types may be anywhere."""
        return np.array([tag == schemes.OUTSIDE or self._type_of[tag] in hidden for tag in self._labels.tags])


def _well_formed(
    allowed: NDArray[np.bool_],
    start: NDArray[np.bool_],
    pairs: NDArray[np.bool_],
    end: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Only the tags that are part of a well-formed sequence of allowed tags.

    Args:
        allowed: [W, L].
        start: [L], whether a sentence may begin with the tag.
        pairs: [L, L], whether the second tag may follow the first.
        end: [L], whether a sentence may end with the tag.
    """
    forward, backward = allowed.copy(), allowed.copy()
    forward[0] &= start
    for word in range(1, len(forward)):
        forward[word] &= pairs[forward[word - 1]].any(0)
    backward[-1] &= end
    for word in range(len(backward) - 2, -1, -1):
        backward[word] &= pairs[:, backward[word + 1]].any(1)
    both: NDArray[np.bool_] = forward & backward
    return both
