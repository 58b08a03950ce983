"""Scores of candidate spans: one per class and span of up to K words, from two vectors per word.

A network computes these vectors, which are the only part of its size: P numbers for a word that begins a span, and P
for one that ends it. The scores of a candidate are a small function of both, so they are computed here for torch and
ONNX alike, for spans of one width after the other: memory is linear in the number of candidates.

Names of arrays, besides those of `sltk.decoding`: N candidates; P size of a vector; K widths; C classes, the first of
which is "no span".
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .span_choice import ScorerName
from .tag_transitions import Floats, Integers

_ROWS = 16384
"""Candidates that are scored together."""


@dataclass(frozen=True, slots=True, eq=False)
class SpanScorer:
    """Scores candidates, given their vectors. Subclasses have the weights that a network has learnt."""

    name: ClassVar[ScorerName]
    widths_KP: Floats

    @property
    def max_width(self) -> int:
        """K: the number of words of the longest candidates."""
        return len(self.widths_KP)

    @property
    def size(self) -> int:
        """Number of numbers per word, 2P."""
        raise NotImplementedError

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        raise NotImplementedError

    @abstractmethod
    def scores(self, starts_NP: Floats, ends_NP: Floats, width: int) -> Floats:
        """[N, C]: the scores of candidates of `width` words."""

    def log_probabilities(self, features_WF: Floats, lengths_S: Sequence[int]) -> Candidates:
        """The candidates of packed sentences; none crosses the end of its sentence."""
        starts_WP, ends_WP = np.split(features_WF.astype(np.float32, copy=False), 2, axis=1)
        parts = [
            (rows, width, _log_softmax(self.scores(starts_WP[rows], ends_WP[rows + width - 1], width)))
            for width, rows in candidate_rows(lengths_S, self.max_width)
        ]
        if not parts:
            return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, self.classes)))
        return Candidates(
            np.concatenate([rows for rows, _, _ in parts]),
            np.concatenate([np.full(len(rows), width) for rows, width, _ in parts]),
            np.concatenate([log_NC for _, _, log_NC in parts]),
        )

    def values(self) -> dict[str, Any]:
        """The weights as lists, by name, with the name of the scorer."""
        return {
            "scorer": self.name,
            **{field.name: getattr(self, field.name).tolist() for field in fields(self)},
        }


@dataclass(frozen=True, slots=True, eq=False)
class MlpScorer(SpanScorer):
    """relu(start + end + width) @ output + bias: a layer over [start; end; width], whose first part is factorised."""

    name = "mlp"
    output_PC: Floats
    bias_C: Floats

    @property
    def size(self) -> int:
        """Number of numbers per word, 2P."""
        return 2 * len(self.output_PC)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return int(self.output_PC.shape[1])

    def scores(self, starts_NP: Floats, ends_NP: Floats, width: int) -> Floats:
        """[N, C]: the scores of candidates of `width` words."""
        hidden_NP = np.maximum(starts_NP + ends_NP + self.widths_KP[width - 1], 0)
        scores_NC: Floats = hidden_NP @ self.output_PC + self.bias_C
        return scores_NC


@dataclass(frozen=True, slots=True, eq=False)
class BiaffineScorer(SpanScorer):
    """[start; 1] U_c [end; 1] + width_c (Yu et al., ACL 2020, with a term for the width)."""

    name = "biaffine"
    pairs_CQQ: Floats
    """Q = P + 1."""

    @property
    def size(self) -> int:
        """Number of numbers per word, 2P."""
        return 2 * (int(self.pairs_CQQ.shape[1]) - 1)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return len(self.pairs_CQQ)

    def scores(self, starts_NP: Floats, ends_NP: Floats, width: int) -> Floats:
        """[N, C]: the scores of candidates of `width` words."""
        ones_N1 = np.ones((len(starts_NP), 1), starts_NP.dtype)
        starts_NQ, ends_NQ = (np.concatenate([each, ones_N1], 1) for each in (starts_NP, ends_NP))
        scores_CN = np.stack([((starts_NQ @ pairs_QQ) * ends_NQ).sum(1) for pairs_QQ in self.pairs_CQQ])
        scores_NC: Floats = scores_CN.T + self.widths_KP[width - 1]
        return scores_NC


SCORERS: dict[str, type[SpanScorer]] = {"mlp": MlpScorer, "biaffine": BiaffineScorer}


def scorer_of(values: Mapping[str, Any]) -> SpanScorer:
    """The scorer with the weights that `SpanScorer.values` returned.

    Raises:
        KeyError, TypeError, ValueError: they are damaged.
    """
    kind = SCORERS[values["scorer"]]
    weights = [np.asarray(values[field.name], dtype=np.float32) for field in fields(kind)]
    if not all(np.isfinite(each).all() for each in weights):
        raise ValueError("its weights are not finite numbers")
    scorer = kind(*weights)
    one = np.zeros((1, scorer.size // 2), np.float32)
    if scorer.scores(one, one, scorer.max_width).shape != (1, scorer.classes):
        raise ValueError(f"its weights have the shapes {[each.shape for each in weights]}")
    return scorer


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidate spans of packed sentences by width and place, with the log-probability of each class."""

    starts_N: Integers
    """The packed position of the first word."""
    widths_N: Integers
    log_NC: Floats

    @cached_property
    def _keys(self) -> Integers:
        """Numbers in ascending order that identify candidates."""
        return self.widths_N * (1 << 40) + self.starts_N

    def row(self, start: int, width: int) -> int:
        """The row of a candidate."""
        return int(np.searchsorted(self._keys, width * (1 << 40) + start))


def candidate_rows(lengths_S: Sequence[int], max_width: int) -> Iterator[tuple[int, Integers]]:
    """For each width, shortest first, the packed positions where spans of this width begin, in parts."""
    lengths = np.asarray(lengths_S, dtype=np.int64)
    ends_W = np.repeat(np.cumsum(lengths), lengths)
    left_W = ends_W - np.arange(len(ends_W))
    for width in range(1, max_width + 1):
        rows = np.flatnonzero(left_W >= width)
        for start in range(0, len(rows), _ROWS):
            yield width, rows[start : start + _ROWS]


def _log_softmax(scores_NC: Floats) -> Floats:
    shifted_NC = scores_NC.astype(np.float64) - scores_NC.max(1, keepdims=True)
    log_NC: Floats = shifted_NC - np.log(np.exp(shifted_NC).sum(1, keepdims=True))
    return log_NC
