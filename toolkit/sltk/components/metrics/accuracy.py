"""The `accuracy` metric: the share of words with the correct tag."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

from ...schemes.names import SchemeName
from ..registry import register
from ..slots import Metric
from .counting import Counts, TagSequences, accuracy, correct_tags, signature, sizes


@register.metric("accuracy")
class AccuracyMetric(Metric):
    """Share of words with the correct tag, and F1 per tag: for part-of-speech tags and similar annotation."""

    def compute(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> dict[str, Any]:
        """`accuracy`, `macro_f1` and `weighted_f1` over tags, and `per_type`, where a type is a tag.

        Raises:
            ValueError: gold and predicted differ in length.
        """
        size = sizes(gold, predicted)
        tags = (chain.from_iterable(gold), chain.from_iterable(predicted), correct_tags(gold, predicted))
        counts = Counts(*map(Counter, tags))
        return {
            "accuracy": accuracy(gold, predicted),
            **counts.averages(),
            "per_type": counts.per_type(),
            **size,
            "signature": signature("accuracy", scheme=scheme),
        }
