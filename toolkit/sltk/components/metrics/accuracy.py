"""The `accuracy` metric: the share of words with the correct tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from operator import eq
from typing import Any

from ...schemes.names import SchemeName
from ..registry import register
from ..slots import Tally
from .counting import Counts, TallyMetric, WordCounts, signature, tags_of_word


@register.metric("accuracy")
class AccuracyMetric(TallyMetric):
    """Share of words with the correct tag, and F1 per tag: for part-of-speech tags and similar annotation.

    In the scheme `layers`, a word with several tags is correct if it has all of them and no others, and F1 counts each.
    """

    def tally(self, scheme: SchemeName) -> Tally:
        """`accuracy`, `macro_f1` and `weighted_f1` over tags, and `per_type`, where a type is a tag."""
        return _TagTally(scheme)


class _TagTally:
    def __init__(self, scheme: SchemeName) -> None:
        self._scheme, self._words, self._tags = scheme, WordCounts(scheme), Counts()

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Count the tags of a sentence."""
        self._words.add(gold, predicted)
        if self._scheme == "layers":
            self._add_layers(gold, predicted)
            return
        self._tags.gold.update(gold)
        self._tags.predicted.update(predicted)
        self._tags.correct.update(compress(gold, map(eq, gold, predicted)))

    def _add_layers(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        for right, guess in zip(gold, predicted, strict=True):
            one, other = Counter(tags_of_word(right)), Counter(tags_of_word(guess))
            self._tags.gold.update(one)
            self._tags.predicted.update(other)
            self._tags.correct.update(one & other)

    def scores(self) -> dict[str, Any]:
        """The scores of all sentences."""
        return {
            "accuracy": self._words.accuracy,
            **self._tags.averages(),
            "per_type": self._tags.per_type(),
            **self._words.sizes(),
            "signature": signature("accuracy", scheme=self._scheme),
        }
