"""The attention function that every model runs on: packed sentences, and a causal mask a block may lack.

transformers hands queries, keys and values of *all* tokens of a batch, sentences one after the other, to the
function registered here; attention then runs inside each sentence only. No padding is ever computed, and none
can be attended to. Each attention module carries its flag in `module.sltk_unmasked`, set by `proof.assign_flags`.

Shapes: T tokens of the batch, H query heads, K key and value heads, D head size, N sentences of one length L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "sltk"


class NotPackedError(RuntimeError):
    """The attention function was called by something that does not say where sentences end."""


@dataclass(frozen=True)
class Packing:
    """Where the sentences of a batch lie: runs of `count` sentences of one `length`, from token `start` on."""

    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def of_lengths(cls, lengths: Sequence[int]) -> Packing:
        """The packing of sentences that follow each other; equal lengths side by side share a run."""
        runs: list[tuple[int, int, int]] = []
        start = 0
        for length in lengths:
            if runs and runs[-1][2] == length:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, length)
            else:
                runs.append((start, 1, length))
            start += length
        return cls(tuple(runs))

    @property
    def tokens(self) -> int:
        """How many tokens the batch has."""
        return sum(count * length for _, count, length in self.runs)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing | None = None,
    position_ids: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each sentence. query [1, H, T, D], key and value [1, K, T, D] → [1, T, H, D].

    Raises:
        NotPackedError: the call did not come through `PackedBackbone`, so nothing says where sentences end.
    """
    # Blocks of some families (Nemotron, StableLM) hand on the positions, but nothing that they do not know.
    packing = packing if packing is not None else getattr(position_ids, "sltk_packing", None)
    if packing is None or attention_mask is not None:
        raise NotPackedError("sltk attention was called without a packing, or with a mask of another making")
    unmasked: bool = module.sltk_unmasked  # type: ignore[assignment]
    window = None if unmasked and module.sltk_drop_window else sliding_window
    if query.shape[1] != key.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    pieces = []
    of_runs = zip(*(_by_run(x, packing) for x in (query, key, value)), strict=True)
    for (_, count, length), qkv_HTD in zip(packing.runs, of_runs, strict=True):
        q_NHLD, k_NHLD, v_NHLD = (_sentences(x_HTD, count, length) for x_HTD in qkv_HTD)
        rule = _Rule(causal=not unmasked, window=window if window is not None and window < length else None)
        if softcap is None and s_aux is None:
            out = _fused(q_NHLD, k_NHLD, v_NHLD, rule, scaling, dropout)
        else:
            out = _explicit(q_NHLD, k_NHLD, v_NHLD, rule, scaling, dropout, softcap, s_aux)
        pieces.append(out.transpose(1, 2).reshape(1, count * length, out.shape[1], out.shape[3]))
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)), None


@dataclass(frozen=True)
class _Rule:
    """Which words a word sees: those before it only (causal), those nearer than `window` only."""

    causal: bool
    window: int | None

    def mask(self, length: int, device: torch.device) -> Tensor | None:
        """[L, L], True where row may look at column; None where all may."""
        if not self.causal and self.window is None:
            return None
        position = torch.arange(length, device=device)
        distance = position[:, None] - position[None, :]
        seen = distance >= 0 if self.causal else torch.ones_like(distance, dtype=torch.bool)
        return seen if self.window is None else seen & (distance.abs() < self.window)


def _by_run(x: Tensor, packing: Packing) -> tuple[Tensor, ...]:
    """[1, H, T, D] → [H, N * L, D] for each run.

    One split and no slices: its gradient is one `cat`, where that of each slice would be as large as `x`.
    """
    runs: tuple[Tensor, ...] = x[0].split([count * length for _, count, length in packing.runs], dim=1)
    return runs


def _sentences(run_HTD: Tensor, count: int, length: int) -> Tensor:
    """[H, N * L, D] → [N, H, L, D]: the sentences of one run."""
    return run_HTD.reshape(run_HTD.shape[0], count, length, run_HTD.shape[2]).transpose(0, 1)


def _fused(q: Tensor, k: Tensor, v: Tensor, rule: _Rule, scaling: float | None, dropout: float) -> Tensor:
    """Torch's own attention kernel: all that most families need."""
    if rule.window is None:
        return F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=rule.causal and q.shape[2] > 1, scale=scaling
        )
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=rule.mask(q.shape[2], q.device), dropout_p=dropout, scale=scaling
    )


def _explicit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rule: _Rule,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention written out, for families that cap their scores (Gemma 2) or have attention sinks (GPT-OSS)."""
    scores = q @ k.transpose(2, 3) * (scaling if scaling is not None else q.shape[-1] ** -0.5)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    mask = rule.mask(q.shape[2], q.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    if sinks is not None:
        column = sinks.to(scores.dtype).reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        weights = torch.cat([scores, column], dim=-1).softmax(-1, dtype=torch.float32)[..., :-1]
    else:
        weights = scores.softmax(-1, dtype=torch.float32)
    return F.dropout(weights.to(q.dtype), dropout, training=dropout > 0) @ v


def _no_mask(*_: Any, **__: Any) -> None:
    """transformers is to build no mask: the packing and the flags say everything."""
    return None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)
