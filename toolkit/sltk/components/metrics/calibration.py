"""Calibration error of probabilities, and precision and recall above thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .counting import prf, ratio

Scored = Sequence[tuple[float, bool]]
"""The score of each prediction, and whether it is correct."""


def calibration(predictions: Scored, bins: int) -> dict[str, Any]:
    """The expected calibration error (Guo et al. 2017), and its bins.

    The `bins` bins have equal width and include their upper end, the first one also 0. The error is the absolute
    difference between mean score and accuracy of a bin, averaged over bins by their number of predictions.
    Returns `{"ece", "count", "bins": [{"from", "to", "count", "score", "accuracy"}]}`, without empty bins.
    """
    binned: dict[int, list[tuple[float, bool]]] = {}
    for score, correct in predictions:
        number = min(bins, max(1, math.ceil(score * bins)))
        binned.setdefault(number, []).append((score, correct))
    rows = [_bin(number, bins, binned[number]) for number in sorted(binned)]
    distance = sum(row["count"] * abs(row["score"] - row["accuracy"]) for row in rows)
    return {"ece": ratio(distance, len(predictions)), "count": len(predictions), "bins": rows}


def _bin(number: int, bins: int, members: Scored) -> dict[str, Any]:
    return {
        "from": (number - 1) / bins,
        "to": number / bins,
        "count": len(members),
        "score": math.fsum(score for score, _ in members) / len(members),
        "accuracy": sum(correct for _, correct in members) / len(members),
    }


def above_thresholds(predictions: Scored, gold: int, thresholds: Iterable[float]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of the predictions whose score is at least a threshold, for each in ascending order.

    `gold` is the number of gold spans.
    """
    rows = []
    for threshold in sorted(thresholds):
        above = [correct for score, correct in predictions if score >= threshold]
        counts = {"predicted": len(above), "correct": sum(above)}
        rows.append({"threshold": threshold, **prf(gold, len(above), sum(above)), **counts})
    return rows
