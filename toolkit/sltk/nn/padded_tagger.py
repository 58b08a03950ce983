"""A tagger that reads padded batches, in operations that can be traced: `(input_ids, attention_mask) -> logits`.

It computes the scores of `Tagger`, whose packed batches and fused modules no other library can read.

Shapes: B sentences, L tokens of the longest, H hidden size, W words of the sentence with the most, C labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import attention, padded_attention
from .padded_attention import PaddedMasks
from .pooling import FirstLastPooling, FirstSubwordPooling, LastSubwordPooling, MaxPooling, MeanPooling
from .tagger import Tagger


class PaddedTagger(nn.Module):
    """Scores of padded batches; it shares the weights of `network`, and changes the attention that its blocks use.

    Args:
        network: a tagger with stock modules in float32, whose attention modules have their flags.
        shift: how much earlier than its subwords a word is read (0 or -1); callers give the positions without it.
    """

    def __init__(self, network: Tagger, shift: int = 0) -> None:
        super().__init__()
        self._shift = shift
        backbone = network.backbone
        self.model: Any = backbone.model
        self.aligner, self.head = network.aligner, network.head
        self._packs, self._offset, self._width = (
            backbone.packs,
            backbone.position_offset,
            backbone.hidden_size,
        )
        self._copies = backbone.copies
        self.labels_words = not isinstance(self.aligner, FirstSubwordPooling | LastSubwordPooling)
        """Whether scores are those of words. Those of a first or last subword can be picked from all subwords'."""
        self._own_experts = getattr(self.model.config, "_experts_implementation", None)
        self._select(padded_attention.NAME, padded_attention.NAME)

    def release(self) -> None:
        """Let `network` compute packed batches again."""
        self._select(attention.NAME, self._own_experts)

    def _select(self, of_attention: str, of_experts: str | None) -> None:
        """Select implementations of attention and of experts."""
        if self._packs:
            self.model.set_attn_implementation(of_attention)
        self.model.config._experts_implementation = of_experts

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_first: Tensor | None = None,
        word_last: Tensor | None = None,
    ) -> Tensor:
        """Scores [B, L, C] of subwords; or [B, W, C] of words, given the positions [B, W] of their subwords."""
        vectors_BLH = self._vectors(input_ids, attention_mask)
        if not self.labels_words:
            if self._shift:  # the first subword has none before it, and is read itself
                vectors_BLH = torch.cat([vectors_BLH[:, :1], vectors_BLH[:, :-1]], 1)
            return self._scores(vectors_BLH.reshape(-1, self._width), input_ids)
        assert word_first is not None
        assert word_last is not None
        if self._shift:
            word_first, word_last = ((side + self._shift).clamp(min=0) for side in (word_first, word_last))
        return self._scores(self._words(vectors_BLH, word_first, word_last), word_first)

    def _vectors(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if not self._packs:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # type: ignore[no-any-return]
        if self._copies > 1:
            return self._last_copies(input_ids, attention_mask)
        positions_1L = torch.arange(input_ids.shape[1], device=input_ids.device)[None] + self._offset
        with padded_attention.using(PaddedMasks(attention_mask != 0)):
            return self.model(input_ids=input_ids, position_ids=positions_1L).last_hidden_state  # type: ignore[no-any-return]

    def _last_copies(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors of the last of several copies, which follow each other with their padding.

        No copy sees padding. Positions of words run on as if there were none.
        """
        is_real_BL = attention_mask != 0
        length, lengths_B1 = input_ids.shape[1], is_real_BL.long().sum(1, keepdim=True)
        positions_1L = torch.arange(length, device=input_ids.device)[None]
        positions_BX = torch.cat([positions_1L + copy * lengths_B1 for copy in range(self._copies)], 1)
        masks = PaddedMasks(is_real_BL.repeat(1, self._copies), positions_BX)
        ids_BX, positions_BX = input_ids.repeat(1, self._copies), positions_BX + self._offset
        with padded_attention.using(masks):
            states_BXH: Tensor = self.model(input_ids=ids_BX, position_ids=positions_BX).last_hidden_state
        return states_BXH[:, (self._copies - 1) * length :]

    def _scores(self, vectors_XH: Tensor, like: Tensor) -> Tensor:
        scores_XC = self.head.emissions(vectors_XH)
        return scores_XC.reshape(like.shape[0], like.shape[1], int(scores_XC.shape[1]))

    def _words(self, vectors_BLH: Tensor, first_BW: Tensor, last_BW: Tensor) -> Tensor:
        """Vectors [B * W, H] of words."""
        pool = _POOLS.get(type(self.aligner))
        if pool is not None:
            return pool(vectors_BLH, first_BW, last_BW).reshape(-1, self._width)
        # A custom aligner gets a packed batch of sentences that are padded to one length.
        start_B1 = torch.arange(vectors_BLH.shape[0], device=first_BW.device)[:, None] * vectors_BLH.shape[1]
        first_X, last_X = (first_BW + start_B1).reshape(-1), (last_BW + start_B1).reshape(-1)
        vectors: Tensor = self.aligner(vectors_BLH.reshape(-1, self._width), first_X, last_X)
        return vectors


def _pick(vectors_BLH: Tensor, position_BW: Tensor) -> Tensor:
    return vectors_BLH.gather(1, position_BW[:, :, None].expand(-1, -1, vectors_BLH.shape[2]))


def _first_last(vectors_BLH: Tensor, first_BW: Tensor, last_BW: Tensor) -> Tensor:
    return (_pick(vectors_BLH, first_BW) + _pick(vectors_BLH, last_BW)) / 2


def _members(first_BW: Tensor, last_BW: Tensor, length: int) -> Tensor:
    """[B, W, L], whether each token is a subword of each word."""
    position_L = torch.arange(length, device=first_BW.device)
    return (position_L >= first_BW[:, :, None]) & (position_L <= last_BW[:, :, None])


def _mean(vectors_BLH: Tensor, first_BW: Tensor, last_BW: Tensor) -> Tensor:
    members_BWL = _members(first_BW, last_BW, vectors_BLH.shape[1]).to(vectors_BLH.dtype)
    sizes_BW1 = (last_BW - first_BW + 1)[:, :, None].to(vectors_BLH.dtype)
    return members_BWL @ vectors_BLH / sizes_BW1


def _max(vectors_BLH: Tensor, first_BW: Tensor, last_BW: Tensor) -> Tensor:
    members_BWL = _members(first_BW, last_BW, vectors_BLH.shape[1])
    # The number of each token's word; tokens of no word get the number of one more word, which is left out.
    none_B1L = torch.ones_like(members_BWL[:, :1])
    word_BL = torch.cat([members_BWL, none_B1L], 1).to(torch.int32).argmax(1)
    index_BLH = word_BL[:, :, None].expand(-1, -1, vectors_BLH.shape[2])
    maxima = vectors_BLH.new_zeros(first_BW.shape[0], first_BW.shape[1] + 1, vectors_BLH.shape[2])
    lowest = torch.finfo(vectors_BLH.dtype).min
    return (maxima + lowest).scatter_reduce(1, index_BLH, vectors_BLH, "amax")[:, :-1]


_POOLS = {FirstLastPooling: _first_last, MeanPooling: _mean, MaxPooling: _max}
