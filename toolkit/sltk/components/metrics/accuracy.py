"""The `accuracy` metric: the share of words whose tag is right."""

from __future__ import annotations

from itertools import chain
from typing import Any

from ...schemes.names import SchemeName
from ..registry import register
from ..slots import Metric
from .counting import Counts, TagSequences, accuracy, correct_tags, signature, sizes


@register.metric("accuracy")
class AccuracyMetric(Metric):
    """Share of words whose tag is right, and F1 tag by tag: for part-of-speech tags and the like."""

    def compute(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> dict[str, Any]:
        """`accuracy`, `macro_f1` and `weighted_f1` over tags, and `per_type`, where a type is a tag.

        Raises:
            ValueError: gold and predicted differ in length.
        """
        counted = sizes(gold, predicted)
        correct = correct_tags(gold, predicted)
        counts = Counts.of(chain.from_iterable(gold), chain.from_iterable(predicted), correct)
        return {
            "accuracy": accuracy(gold, predicted),
            **counts.averages(),
            "per_type": counts.per_type(),
            **counted,
            "signature": signature("accuracy", scheme=scheme),
        }
