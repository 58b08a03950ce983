"""Choose the lowest score of each type with which a span is kept, by a target precision or recall."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from .. import schemes
from ..decoding import Decisions, Thresholds
from ..decoding.stored_thresholds import TypeThreshold
from ..schemes.labels import LabelSet
from ..types import Prediction

Goal = Literal["precision", "recall"]
_SAME = 1e-6
"""Scores of one span in different batches differ by less than this."""


def choose(
    predictions: Iterable[Prediction],
    labels: LabelSet,
    decisions: Decisions,
    target: tuple[Goal, float],
    chosen_on: str,
) -> Thresholds:
    """Choose thresholds on labelled sentences with gold tags.

    With a target precision, a type gets the threshold with the best recall among those that reach the target; with a
    target recall, the one with the best precision. A type that cannot reach it, or without gold spans, gets none.
    """
    scored: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    support: Counter[str] = Counter()
    for prediction in predictions:
        gold = set(schemes.chunks(prediction.sentence.tags or (), labels.scheme, strict=True))
        support.update(type_ for _, _, type_ in gold)
        for span in prediction.spans:
            scored[span.type].append((span.score or 0.0, (span.start, span.end, span.type) in gold))
    roles = schemes.chunks(
        [tag for tag in labels.tags if tag != schemes.OUTSIDE], labels.scheme, strict=False
    )
    names = sorted({type_ for _, _, type_ in roles} | scored.keys() | support.keys())
    return Thresholds(
        target={target[0]: target[1]},
        chosen_on=chosen_on,
        decode=decisions.decode,
        span_score=decisions.span_score,
        types={name: _choose_one(scored[name], support[name], *target) for name in names},
    )


@dataclass(frozen=True, slots=True)
class _Cut:
    """Keep the spans with at least the score `threshold`."""

    threshold: float
    kept: int
    correct: int
    support: int

    @property
    def precision(self) -> float:
        return self.correct / self.kept if self.kept else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.support if self.support else 0.0


def _choose_one(
    scored: Sequence[tuple[float, bool]], support: int, goal: Goal, value: float
) -> TypeThreshold:
    cuts = _cuts(scored, support)
    everything = cuts[-1] if cuts else _Cut(0.0, 0, 0, support)
    reached = [cut for cut in cuts if support and getattr(cut, goal) >= value]
    best = max(reached, key=_most_recall if goal == "precision" else _most_precision, default=None)
    shown = best or everything
    return TypeThreshold(
        threshold=None if best is None else best.threshold,
        precision=shown.precision,
        recall=shown.recall,
        kept=shown.kept,
        predicted=len(scored),
        support=support,
        best=max((getattr(cut, goal) for cut in cuts), default=0.0) if support and best is None else None,
    )


def _most_recall(cut: _Cut) -> tuple[int, int]:
    return cut.correct, -cut.kept


def _most_precision(cut: _Cut) -> tuple[float, int]:
    return cut.precision, cut.correct


def _cuts(scored: Sequence[tuple[float, bool]], support: int) -> list[_Cut]:
    """All ways to cut the spans by score, the fewest spans first. A threshold lies halfway between two scores."""
    ranked = sorted(scored, reverse=True)
    cuts, correct = [], 0
    for kept, ((score, is_correct), (following, _)) in enumerate(pairwise([*ranked, (-1.0, False)]), 1):
        correct += is_correct
        if score - following > _SAME:
            threshold = (score + following) / 2 if kept < len(ranked) else 0.0
            cuts.append(_Cut(threshold, kept, correct, support))
    return cuts
