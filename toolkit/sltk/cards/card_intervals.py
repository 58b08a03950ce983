"""Confidence intervals of the scores of a run, from the predictions that were scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..components.metrics import bootstrap
from ..errors import DataError
from ..rundir.scored_predictions import read_predictions, span_metric
from ..schemes import SchemeError

RESAMPLES, CONFIDENCE = 1000, 0.95


def f1_intervals(
    run: Path, spec: dict[str, Any], split: str, scores: dict[str, Any]
) -> dict[str, Any] | None:
    """`[low, high]` of the F1 of a split (`f1`) and of each of its types (`per_type`), by resampling its sentences.

    None if the run has no predictions of this split, if they are not those that were scored, or if its first metric
    counts no spans.
    """
    path, metric = run / "predictions" / f"{split}.conll", span_metric(spec)
    if metric is None or not path.exists():
        return None
    scheme = spec.get("scheme", "IOB2")
    try:
        _, gold, predicted = zip(*read_predictions(path), strict=True)
        pairs = metric.pairs(gold, predicted, scheme)
    except (SchemeError, DataError, ValueError):  # damaged, edited, or empty
        return None
    found = [sum(len(pair[side]) for pair in pairs) for side in (0, 1)]
    if found != [scores.get("support"), scores.get("predicted")]:
        return None
    intervals = bootstrap.intervals(pairs, RESAMPLES, CONFIDENCE, seed=0)
    return {key: intervals[key] for key in ("f1", "per_type")}
