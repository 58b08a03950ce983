"""Confidence intervals of span scores: sentences are drawn again, with replacement, and scored again.

The percentile bootstrap of Efron (1979). Sentences are what is drawn, as words and spans of one sentence depend on
each other. A draw needs nothing but the counts of each sentence, so all draws are a few products of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...schemes import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_AT_ONCE = 2**22
"""Drawn sentences that are held in memory together."""


def intervals(
    sentences: Sequence[tuple[Sequence[Chunk], Sequence[Chunk]]],
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """`[low, high]` of `precision`, `recall`, `f1` and `macro_f1`, and of each type's F1 in `per_type`.

    `sentences` are gold and predicted spans; of `resamples` draws the middle share `confidence` lies between
    low and high.
    """
    import numpy as np

    types = sorted({type_ for sides in sentences for side in sides for _, _, type_ in side})
    counts = _counts(sentences, types)
    sums = [weights @ counts for weights in _draws(len(sentences), resamples, seed)]
    by_type = np.concatenate(sums).reshape(resamples, len(types), 3)
    micro, f1 = _scores(by_type.sum(axis=1)), _scores(by_type)["f1"]
    # A type that a draw has none of is not averaged over, as in scores of data without it.
    present = by_type[:, :, :2].any(axis=2).sum(axis=1)
    overall = {**micro, "macro_f1": f1.sum(axis=1) / np.maximum(present, 1)}
    return {
        **{name: _interval(values, confidence) for name, values in overall.items()},
        "per_type": {type_: _interval(f1[:, index], confidence) for index, type_ in enumerate(types)},
    }


def _counts(sentences: Sequence[tuple[Sequence[Chunk], Sequence[Chunk]]], types: Sequence[str]) -> Floats:
    """[sentences, 3 · types]: spans of each type in each sentence: gold, predicted, and in both alike."""
    import numpy as np

    column = {type_: 3 * index for index, type_ in enumerate(types)}
    counts = np.zeros((len(sentences), 3 * len(types)))
    for row, (gold, predicted) in enumerate(sentences):
        for kind, spans in enumerate((gold, predicted, set(gold).intersection(predicted))):
            for _, _, type_ in spans:
                counts[row, column[type_] + kind] += 1
    return counts


def _draws(sentences: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of [draws, sentences]: how often each sentence is in each draw."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // sentences)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = generator.integers(sentences, size=(rows, sentences))
        cells = drawn + sentences * np.arange(rows)[:, None]
        times = np.bincount(cells.ravel(), minlength=rows * sentences)
        yield times.reshape(rows, sentences).astype(np.float64)


def _scores(counts: Floats) -> dict[str, Floats]:
    """Precision, recall and F1 of counts [..., 3]; 0 where there is nothing to have a share of."""
    import numpy as np

    gold, predicted, correct = np.moveaxis(counts, -1, 0)
    return {
        "precision": correct / np.maximum(predicted, 1),
        "recall": correct / np.maximum(gold, 1),
        "f1": 2 * correct / np.maximum(gold + predicted, 1),
    }


def _interval(values: Floats, confidence: float) -> list[float]:
    import numpy as np

    outside = (1 - confidence) / 2
    return [float(bound) for bound in np.quantile(values, [outside, 1 - outside])]
