"""How far probabilities can be trusted: calibration, and precision and recall above a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .counting import ratio, scores_of

Scored = Sequence[tuple[float, bool]]
"""The score of each prediction, and whether it is right."""


def calibration(predictions: Scored, bins: int) -> dict[str, Any]:
    """The expected calibration error (Guo et al. 2017), and the bins that it was taken from.

    Scores are put into `bins` bins of equal width, each without its lower and with its upper end; 0 goes into the
    first. The error is the distance between mean score and share of right ones, averaged over predictions.
    Returns `{"ece", "count", "bins": [{"from", "to", "count", "score", "accuracy"}]}`, without empty bins.
    """
    binned: dict[int, list[tuple[float, bool]]] = {}
    for score, right in predictions:
        number = min(bins, max(1, math.ceil(score * bins)))
        binned.setdefault(number, []).append((score, right))
    shown = [_bin(number, bins, binned[number]) for number in sorted(binned)]
    distance = sum(each["count"] * abs(each["score"] - each["accuracy"]) for each in shown)
    return {"ece": ratio(distance, len(predictions)), "count": len(predictions), "bins": shown}


def _bin(number: int, bins: int, members: Scored) -> dict[str, Any]:
    return {
        "from": (number - 1) / bins,
        "to": number / bins,
        "count": len(members),
        "score": math.fsum(score for score, _ in members) / len(members),
        "accuracy": sum(right for _, right in members) / len(members),
    }


def above_thresholds(predictions: Scored, gold: int, thresholds: Iterable[float]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of the predictions whose score is at least a threshold, for each in rising order.

    `gold` is the number of spans to be found.
    """
    rows = []
    for threshold in sorted(thresholds):
        kept = [right for score, right in predictions if score >= threshold]
        rows.append(
            {
                "threshold": threshold,
                **scores_of(gold, len(kept), sum(kept)),
                "predicted": len(kept),
                "correct": sum(kept),
            }
        )
    return rows
