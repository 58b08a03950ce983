"""Batches without padding: the sentences of a batch, one after the other.

T subwords of the batch, W words, S sentences. Sentences are sorted by length, so that attention runs once for each
length; words stay in the order of the sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..subwords.samples import IGNORED, Sample
from .packing import Packing
from .transfer import to_device


class Batch(TypedDict):
    """Arguments of `Tagger`."""

    ids_T: Tensor
    packing: Packing
    first_W: Tensor
    last_W: Tensor
    labels: Tensor
    """Gold tag numbers, [W], or [W, D] with one per layer in the scheme `layers`; transformers' Trainer counts items by
    this name."""
    words_per_sentence: tuple[int, ...]
    numbers: tuple[int, ...]
    allowed_WL: NotRequired[Tensor]
    """Whether each word may have each tag; only if a sentence of the batch is partly labelled."""
    vectors_WH: NotRequired[Tensor]
    """Vectors of the words, [W, H], if they have been computed before; see `frozen_vectors`."""
    vectors_TH: NotRequired[Tensor]
    """Vectors of the subwords, [T, H], if they have been computed before."""


def pack(samples: Sequence[Sample]) -> Batch:
    """Pack sentences into one batch. At least one of them must have a word."""
    windows = [window for sample in samples for window in sample.encoding.windows if window.first]
    order = sorted(range(len(windows)), key=lambda number: len(windows[number].ids))
    starts = [0] * len(windows)
    ids: list[int] = []
    for number in order:
        starts[number] = len(ids)
        ids += windows[number].ids
    batch = Batch(
        ids_T=torch.tensor(ids),
        packing=Packing.of_lengths([len(windows[number].ids) for number in order]),
        first_W=torch.tensor([start + p for start, w in zip(starts, windows, strict=True) for p in w.first]),
        last_W=torch.tensor([start + p for start, w in zip(starts, windows, strict=True) for p in w.last]),
        labels=torch.tensor([tag for sample in samples for tag in sample.tags]),
        words_per_sentence=tuple(sample.encoding.words for sample in samples),
        numbers=tuple(sample.number for sample in samples),
    )
    partly = next((sample.allowed for sample in samples if sample.allowed is not None), None)
    if partly is not None:
        rows = [_allowed(sample, partly.shape[1]) for sample in samples]
        batch["allowed_WL"] = torch.from_numpy(np.concatenate(rows))
    return batch


def _allowed(sample: Sample, labels: int) -> NDArray[np.bool_]:
    """[W, L]: the tags that each word may have: its own, or all if it has no loss; in layers, those in place of `O`."""
    if sample.allowed is not None:
        return sample.allowed
    tags_W = np.array(sample.tags, dtype=np.int64)
    if tags_W.ndim == 2:
        tags_W = np.minimum(tags_W[:, 0], 0)  # the number of `O`, or -100
    allowed: NDArray[np.bool_] = (tags_W[:, None] == np.arange(labels)) | (tags_W == IGNORED)[:, None]
    return allowed


def batch_on(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The arguments of a network for a batch, on its device: the only transfer of a pass."""
    batch["packing"].to_device(device)
    return {
        key: to_device(value, device) if isinstance(value, Tensor) else value for key, value in batch.items()
    }
