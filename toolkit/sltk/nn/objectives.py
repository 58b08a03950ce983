"""What a language model is asked: the next token (CLM), or the tokens that were masked (MLM).

L tokens of a block, B blocks of a batch, T = B · L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor

from ..errors import ModelError, Problem
from .head import IGNORED
from .packing import Packing

MASKED_SHARE = 0.15
"""Tokens that are to be predicted (Devlin et al. 2019) …"""
HIDDEN_SHARE, RANDOM_SHARE = 0.8, 0.1
"""… of which these are hidden behind the mask token, or replaced by any other; the rest stands as it is."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of tokens that the model reads at once."""

    ids: Tensor
    """[L]."""
    number: int
    epoch: int = 0
    has_loss: bool = True


class BlockBatch(TypedDict):
    """What `LanguageModel` takes."""

    ids_T: Tensor
    packing: Packing
    labels: Tensor
    """What is to be predicted from each vector, [T]; the name is the one by which Trainer counts items."""
    numbers: tuple[int, ...]


class Objective(Protocol):
    """Makes a batch of blocks."""

    def __call__(self, blocks: Sequence[Block]) -> BlockBatch:
        """The blocks end to end, and what is to be predicted from each of their vectors."""
        ...


def without_loss(block: Block) -> Block:
    """The same block, of which nothing is to be predicted."""
    return replace(block, has_loss=False)


class NextToken:
    """Every vector predicts the token after it; the last of a block predicts nothing."""

    def __call__(self, blocks: Sequence[Block]) -> BlockBatch:
        """The blocks as they are, their labels shifted by one."""
        labels_BL = torch.stack([block.ids for block in blocks]).roll(-1, dims=1)
        labels_BL[:, -1] = IGNORED
        return _batch(blocks, [block.ids for block in blocks], labels_BL)


class MaskedTokens:
    """Some tokens are hidden, and predicted from both sides.

    Which ones depends on the seed, the epoch and the block alone, so that a resumed run and one of several
    processes hide the same.

    Raises:
        ModelError: the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: Any, seed: int) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError(
                Problem(
                    "`objective: mlm` needs a tokenizer with a mask token, which this model's has not",
                    path="objective",
                    notes=("`objective: clm` needs none",),
                )
            )
        self.mask = int(tokenizer.mask_token_id)
        self.size = len(tokenizer)
        self.special = torch.tensor(sorted(tokenizer.all_special_ids))
        self.seed = seed

    def __call__(self, blocks: Sequence[Block]) -> BlockBatch:
        """The blocks with some tokens hidden; labels are these tokens."""
        hidden, labels = zip(*map(self._hide, blocks), strict=True)
        return _batch(blocks, hidden, torch.stack(labels))

    def _hide(self, block: Block) -> tuple[Tensor, Tensor]:
        ids_L = block.ids
        seed = (self.seed * 1_000_003 + block.epoch) * 1_000_003 + block.number
        draw = torch.Generator().manual_seed(seed % 2**63)
        chosen_L = torch.rand(len(ids_L), generator=draw) < MASKED_SHARE
        chosen_L &= ~torch.isin(ids_L, self.special)
        fate_L = torch.rand(len(ids_L), generator=draw)
        others_L = torch.randint(self.size, (len(ids_L),), generator=draw)
        hidden_L = torch.where(chosen_L & (fate_L < HIDDEN_SHARE), self.mask, ids_L)
        replaced_L = chosen_L & (fate_L >= HIDDEN_SHARE) & (fate_L < HIDDEN_SHARE + RANDOM_SHARE)
        return torch.where(replaced_L, others_L, hidden_L), torch.where(chosen_L, ids_L, IGNORED)


def _batch(blocks: Sequence[Block], read: Sequence[Tensor], labels_BL: Tensor) -> BlockBatch:
    for row, block in enumerate(blocks):
        if not block.has_loss:
            labels_BL[row] = IGNORED
    return BlockBatch(
        ids_T=torch.cat(list(read)),
        packing=Packing.of_lengths([len(ids_L) for ids_L in read]),
        labels=labels_BL.flatten(),
        numbers=tuple(block.number for block in blocks),
    )
