"""Uncertainty of a model about the tags of a sentence, for active learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .decisions import Measure
from .tag_transitions import Floats


def uncertainties(probabilities_WL: Floats, lengths_S: Sequence[int], measure: Measure) -> list[float]:
    """The uncertainty of each sentence, from the probability of each tag at each word; 0 for one without words.

    margin: 1 minus the difference between the probabilities of the two best tags, of the word where it is smallest.
    entropy: the mean over words of the entropy of their tags, in nats (Settles and Craven 2008, "token entropy").
    """
    values_W = _margins(probabilities_WL) if measure == "margin" else _entropies(probabilities_WL)
    ends = np.cumsum(np.asarray(lengths_S, dtype=np.int64))
    combine = np.max if measure == "margin" else np.mean
    return [
        float(combine(values_W[end - length : end])) if length else 0.0
        for end, length in zip(ends.tolist(), lengths_S, strict=True)
    ]


def _margins(probabilities_WL: Floats) -> Floats:
    if probabilities_WL.shape[1] < 2:
        return np.zeros(len(probabilities_WL))
    best_W2 = np.partition(probabilities_WL, -2, axis=1)[:, -2:]
    margins_W: Floats = 1 - (best_W2[:, 1] - best_W2[:, 0])
    return margins_W


def _entropies(probabilities_WL: Floats) -> Floats:
    positive_WL = np.maximum(probabilities_WL, np.finfo(np.float64).tiny)  # 0 times log 0 is 0
    entropies_W: Floats = -(probabilities_WL * np.log(positive_WL)).sum(1)
    return entropies_W
