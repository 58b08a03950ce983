"""Objectives of a language model: predict the next token (CLM), or masked tokens (MLM, MNTP).

L tokens of a block, B blocks of a batch, T = B · L.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import torch
from torch import Tensor

from ..subwords.samples import IGNORED
from .packing import Packing


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive tokens that the model reads in one pass."""

    ids: Tensor
    """Token ids, [L]."""
    number: int
    epoch: int = 0
    has_loss: bool = True

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.ids)


class TokenBatch(TypedDict):
    """Arguments of `LanguageModel`: blocks or prompts end to end, T tokens."""

    ids_T: Tensor
    packing: Packing
    labels: Tensor
    """The token to predict from each vector, [T]; transformers' Trainer counts items by this name."""
    numbers: tuple[int, ...]


Objective = Callable[[Sequence[Block]], TokenBatch]
"""Builds a batch: the blocks end to end, and the token to predict from each vector."""


def without_loss(block: Block) -> Block:
    """A copy of the block of which nothing is predicted."""
    return replace(block, has_loss=False)


def next_tokens(blocks: Sequence[Block]) -> TokenBatch:
    """A batch in which every vector predicts the token after it; the last one of a block predicts nothing."""
    labels_BL = torch.stack([block.ids for block in blocks]).roll(-1, dims=1)
    labels_BL[:, -1] = IGNORED
    return _batch(blocks, [block.ids for block in blocks], labels_BL)


class MaskedTokens:
    """Some tokens are masked, and predicted from their own vectors (MLM, Devlin et al. 2019).

    The choice depends only on the seed, the epoch and the block, so resumed runs and parallel processes mask the
    same tokens. Special tokens are never masked.

    Args:
        mask_id: the token that replaces masked tokens.
        fraction: expected share of the tokens that are predicted.
    """

    mask_share, random_share = 0.8, 0.1
    """Shares of the predicted tokens that the mask token, or a random token, replaces; the rest is unchanged."""

    def __init__(self, tokenizer: Any, seed: int, mask_id: int, fraction: float) -> None:
        self.mask_id = mask_id
        self.fraction = fraction
        self.vocabulary_size = len(tokenizer)
        self.special_ids = torch.tensor(sorted(tokenizer.all_special_ids))
        self.seed = seed

    def __call__(self, blocks: Sequence[Block]) -> TokenBatch:
        """The blocks with some tokens masked; the labels are those tokens."""
        masked, labels = zip(*map(self._mask, blocks), strict=True)
        return _batch(blocks, masked, torch.stack(labels))

    def _mask(self, block: Block) -> tuple[Tensor, Tensor]:
        ids_L = block.ids
        seed = (self.seed * 1_000_003 + block.epoch) * 1_000_003 + block.number
        generator = torch.Generator().manual_seed(seed % 2**63)
        chosen_L = torch.rand(len(ids_L), generator=generator) < self.fraction
        chosen_L &= ~torch.isin(ids_L, self.special_ids)
        draw_L = torch.rand(len(ids_L), generator=generator)
        random_L = torch.randint(self.vocabulary_size, (len(ids_L),), generator=generator)
        masked_L = torch.where(chosen_L & (draw_L < self.mask_share), self.mask_id, ids_L)
        replaced_L = chosen_L & (draw_L >= self.mask_share) & (draw_L < self.mask_share + self.random_share)
        return torch.where(replaced_L, random_L, masked_L), torch.where(chosen_L, ids_L, IGNORED)


class MaskedNextTokens(MaskedTokens):
    """Some tokens are masked, and each is predicted from the vector before it (MNTP, BehnamGhader et al. 2024).

    A decoder has learned to predict a token from the vector before it, so it keeps its output layer. No vector comes
    before the first token of a block, which is therefore never masked.
    """

    mask_share, random_share = 1.0, 0.0

    def _mask(self, block: Block) -> tuple[Tensor, Tensor]:
        masked_L, labels_L = super()._mask(block)
        masked_L[0], labels_L[0] = block.ids[0], IGNORED
        return masked_L, labels_L.roll(-1)


def _batch(blocks: Sequence[Block], inputs: Sequence[Tensor], labels_BL: Tensor) -> TokenBatch:
    for row, block in enumerate(blocks):
        if not block.has_loss:
            labels_BL[row] = IGNORED
    return TokenBatch(
        ids_T=torch.cat(list(inputs)),
        packing=Packing.of_lengths([len(ids_L) for ids_L in inputs]),
        labels=labels_BL.flatten(),
        numbers=tuple(block.number for block in blocks),
    )
