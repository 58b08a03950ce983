"""Confidence intervals of span scores by resampling sentences with replacement.

The percentile bootstrap of Efron (1979). Whole sentences are drawn because words and spans of one sentence depend on
each other. Scores need only the counts of each sentence, so all samples are computed with a few matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .counting import SpanPairs

Floats = NDArray[np.float64]

_BLOCK_SIZE = 2**22
"""Number of drawn sentences that are held in memory together."""


def intervals(sentences: SpanPairs, resamples: int, confidence: float, seed: int) -> dict[str, Any]:
    """`[low, high]` of `precision`, `recall`, `f1` and `macro_f1`, and of each type's F1 in `per_type`.

    The middle share `confidence` of `resamples` samples lies between low and high.
    """
    types = sorted({type_ for sides in sentences for side in sides for _, _, type_ in side})
    counts = _counts(sentences, types)
    sums = [weights @ counts for weights in _samples(len(sentences), resamples, seed)]
    by_type = np.concatenate(sums).reshape(resamples, len(types), 3)
    micro, f1 = _scores(by_type.sum(axis=1)), _scores(by_type)["f1"]
    # As in scores of data without a type, a sample without it does not include the type in its average.
    present = by_type[:, :, :2].any(axis=2).sum(axis=1)
    overall = {**micro, "macro_f1": f1.sum(axis=1) / np.maximum(present, 1)}
    return {
        **{name: _interval(values, confidence) for name, values in overall.items()},
        "per_type": {type_: _interval(f1[:, index], confidence) for index, type_ in enumerate(types)},
    }


def _counts(sentences: SpanPairs, types: Sequence[str]) -> Floats:
    """[sentences, 3 · types]: number of gold, predicted and correct spans of each type in each sentence."""
    column = {type_: 3 * index for index, type_ in enumerate(types)}
    counts = np.zeros((len(sentences), 3 * len(types)))
    for row, (gold, predicted) in enumerate(sentences):
        for kind, spans in enumerate((gold, predicted, set(gold).intersection(predicted))):
            for _, _, type_ in spans:
                counts[row, column[type_] + kind] += 1
    return counts


def _samples(sentences: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of [samples, sentences]: how often each sample contains each sentence."""
    generator = np.random.default_rng(seed)
    block_rows = max(1, _BLOCK_SIZE // sentences)
    for start in range(0, resamples, block_rows):
        rows = min(block_rows, resamples - start)
        drawn = generator.integers(sentences, size=(rows, sentences))
        cells = drawn + sentences * np.arange(rows)[:, None]
        times = np.bincount(cells.ravel(), minlength=rows * sentences)
        yield times.reshape(rows, sentences).astype(np.float64)


def _scores(counts: Floats) -> dict[str, Floats]:
    """Precision, recall and F1 of counts [..., 3]; 0 for empty denominators."""
    gold, predicted, correct = np.moveaxis(counts, -1, 0)
    return {
        "precision": correct / np.maximum(predicted, 1),
        "recall": correct / np.maximum(gold, 1),
        "f1": 2 * correct / np.maximum(gold + predicted, 1),
    }


def _interval(values: Floats, confidence: float) -> list[float]:
    outside = (1 - confidence) / 2
    return [float(bound) for bound in np.quantile(values, [outside, 1 - outside])]
