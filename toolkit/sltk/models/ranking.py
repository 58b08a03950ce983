"""Order labelled sentences by the uncertainty of the model, for active learning."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from ..types import Prediction


def most_uncertain(predictions: Iterable[Prediction], limit: int | None = None) -> list[Prediction]:
    """The predictions with the highest uncertainty first, at most `limit` of them; equal ones in their order.

    Only `limit` predictions are in memory at a time; without a limit, all of them.
    """
    if limit is None:
        return sorted(predictions, key=_uncertainty, reverse=True)
    return heapq.nlargest(limit, predictions, key=_uncertainty)


def _uncertainty(prediction: Prediction) -> float:
    return prediction.uncertainty or 0.0
