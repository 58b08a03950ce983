"""Scores of tags that follow each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import schemes
from ..schemes.labels import LabelSet

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

FORBIDDEN = -1e4
"""Score of what the scheme forbids: a probability of 0 in float32, and finite gradients."""


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """The scores of beginning with each tag, of each pair of adjacent tags (before, after), and of ending with each."""

    start_L: Floats
    pairs_LL: Floats
    end_L: Floats

    @classmethod
    def of_scheme(cls, labels: LabelSet) -> Transitions:
        """0 for what the scheme allows, and `FORBIDDEN` for the rest."""
        start, pairs, end = schemes.transitions(labels.tags, labels.scheme)
        return cls(_scores(start), _scores(pairs), _scores(end))

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Transitions:
        """Transitions from the plain values that `values` returns."""
        return cls(*(np.asarray(values[key], dtype=np.float32) for key in ("start", "pairs", "end")))

    def values(self) -> dict[str, Any]:
        """The scores as lists under `start`, `pairs` and `end`, as in `transitions.json`."""
        return {
            "start": self.start_L.tolist(),
            "pairs": self.pairs_LL.tolist(),
            "end": self.end_L.tolist(),
        }


def _scores(allowed: Sequence[bool] | Sequence[Sequence[bool]]) -> Floats:
    return np.where(np.asarray(allowed, dtype=bool), np.float32(0), np.float32(FORBIDDEN))
