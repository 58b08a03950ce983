"""Attention within packed sentences, one call per length: torch's fused kernel, or explicit operations.

It runs on every device and supports everything that any family needs. `varlen.py` is faster where it works.

Shapes: T tokens of the batch, H query heads, K key and value heads, D head size, N sentences of one length L.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .packing import Packing, Rule


def by_length(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention within each sentence. query [1, H, T, D], key and value [1, K, T, D] → [1, T, H, D]."""
    if query.shape[1] != key.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    pieces = []
    of_runs = zip(*(_by_run(x, packing) for x in (query, key, value)), strict=True)
    for (_, count, length), qkv_HTD in zip(packing.runs, of_runs, strict=True):
        q_NHLD, k_NHLD, v_NHLD = (_sentences(x_HTD, count, length) for x_HTD in qkv_HTD)
        inner_rule = rule.within(length)
        if softcap is None and sinks is None:
            out = _fused(q_NHLD, k_NHLD, v_NHLD, inner_rule, scaling, dropout)
        else:
            out = _explicit(q_NHLD, k_NHLD, v_NHLD, inner_rule, scaling, dropout, softcap, sinks)
        pieces.append(out.transpose(1, 2).reshape(1, count * length, out.shape[1], out.shape[3]))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


def _by_run(x: Tensor, packing: Packing) -> tuple[Tensor, ...]:
    """[1, H, T, D] → [H, N * L, D] for each run.

    One split is used instead of slices: its gradient is one `cat`, while that of each slice is as large as `x`.
    """
    return torch.split(x[0], [count * length for _, count, length in packing.runs], dim=1)


def _sentences(run_HTD: Tensor, count: int, length: int) -> Tensor:
    """[H, N * L, D] → [N, H, L, D]: the sentences of one run."""
    return run_HTD.reshape(run_HTD.shape[0], count, length, run_HTD.shape[2]).transpose(0, 1)


def _fused(q: Tensor, k: Tensor, v: Tensor, rule: Rule, scaling: float | None, dropout: float) -> Tensor:
    """torch's fused attention, which is enough for most families."""
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
    rule: Rule,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Explicit attention, for families with a soft cap on scores (Gemma 2) or attention sinks (GPT-OSS)."""
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
