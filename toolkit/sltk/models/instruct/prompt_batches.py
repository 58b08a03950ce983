"""Prompts with their responses as packed batches: several samples in one row, each attending to itself alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from ...nn.head import IGNORED
from ...nn.packing import Packing
from .encoding import PromptSample


class PromptBatch(TypedDict):
    """What `LanguageModel` takes; T subwords of all samples."""

    ids_T: Tensor
    packing: Packing
    labels: Tensor
    """What is to be predicted from each vector, [T]; the name is the one by which Trainer counts items."""
    numbers: tuple[int, ...]


def pack_prompts(samples: Sequence[PromptSample]) -> PromptBatch:
    """One batch of these samples, the shortest first, so that those of one length lie side by side."""
    ordered = sorted(samples, key=lambda sample: sample.tokens)
    ids: list[int] = []
    labels: list[int] = []
    for sample in ordered:
        ids += sample.ids
        first = sample.learned_from if sample.has_loss else sample.tokens
        labels += [IGNORED] * (first - 1) + sample.ids[first:] + [IGNORED]
    return PromptBatch(
        ids_T=torch.tensor(ids),
        packing=Packing.of_lengths([sample.tokens for sample in ordered]),
        labels=torch.tensor(labels),
        numbers=tuple(sample.number for sample in samples),
    )
