"""Pool subword vectors into word vectors: `(vectors_TH, first_W, last_W) -> vectors_WH`.

`first_W` and `last_W` are the positions of the first and last subword of each word among the T tokens of the batch.
Only `index_select`, `index_add` and `scatter_reduce` are used, because the backward pass of `x[index]` with repeated
indices is not reproducible on more than one thread.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .transfer import on_host, to_device


class FirstSubwordPooling(nn.Module):
    """A word's vector is that of its first subword."""

    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        """See the module docstring."""
        return vectors_TH.index_select(0, first_W)


class LastSubwordPooling(nn.Module):
    """A word's vector is that of its last subword."""

    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        """See the module docstring."""
        return vectors_TH.index_select(0, last_W)


class FirstLastPooling(nn.Module):
    """A word's vector is the mean of those of its first and last subword."""

    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        """See the module docstring."""
        return (vectors_TH.index_select(0, first_W) + vectors_TH.index_select(0, last_W)) / 2


class MeanPooling(nn.Module):
    """A word's vector is the mean of those of its subwords."""

    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        """See the module docstring."""
        tokens_P, word_P = _members(first_W, last_W)
        sums_WH = vectors_TH.new_zeros(len(first_W), vectors_TH.shape[1])
        sums_WH = sums_WH.index_add(0, word_P, vectors_TH.index_select(0, tokens_P))
        return sums_WH / (last_W - first_W + 1).unsqueeze(1).to(vectors_TH.dtype)


class MaxPooling(nn.Module):
    """A word's vector is the element-wise maximum of those of its subwords."""

    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        """See the module docstring."""
        tokens_P, word_P = _members(first_W, last_W)
        index_PH = word_P.unsqueeze(1).expand(-1, vectors_TH.shape[1])
        lowest_WH = vectors_TH.new_full((len(first_W), vectors_TH.shape[1]), -torch.inf)
        return lowest_WH.scatter_reduce(0, index_PH, vectors_TH.index_select(0, tokens_P), "amax")


def _members(first_W: Tensor, last_W: Tensor) -> tuple[Tensor, Tensor]:
    """The positions of the P subwords of all words, and the word that each belongs to."""
    first, last = on_host(first_W), on_host(last_W)
    sizes_W = last - first + 1
    word_P = torch.repeat_interleave(torch.arange(len(sizes_W)), sizes_W)
    start_W = sizes_W.cumsum(0) - sizes_W
    within_P = torch.arange(len(word_P)) - start_W.index_select(0, word_P)
    positions_P = first.index_select(0, word_P) + within_P
    return to_device(positions_P, first_W.device), to_device(word_P, first_W.device)
