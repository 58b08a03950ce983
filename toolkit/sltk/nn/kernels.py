"""Attention within packed sentences in torch's own operations: one call per length, or per padded group of lengths.

Both run on every device and support everything that any family needs. `varlen.py` is faster where it works.
`by_length` needs no padding; `by_group` needs fewer calls, which is what counts on a GPU.

Shapes: T tokens of the batch, H query heads, K key and value heads, D head size, N sentences of a call, L tokens of
the longest of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import banded
from .length_groups import groups_of
from .packing import Packing, Rule
from .transfer import to_device

_GROUP_COST = 20_000
"""Cost of one more group on a GPU, as the number of scores of one head that could be computed in that time: about 15
launches, each as long as it takes to read and write a megabyte a few times. An estimate, not measured."""


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
    key, value = _repeated(key, value, query.shape[1])
    pieces = []
    of_runs = zip(*(_by_run(x, packing) for x in (query, key, value)), strict=True)
    for (_, count, length), qkv_HTD in zip(packing.runs, of_runs, strict=True):
        q_NHLD, k_NHLD, v_NHLD = (_sentences(x_HTD, count, length) for x_HTD in qkv_HTD)
        inner_rule = rule.within(length)
        if banded.is_cheaper(inner_rule, length):
            q, k, v, band = banded.chunks(q_NHLD, k_NHLD, v_NHLD, inner_rule)
            out = _attention(q, k, v, band, False, scaling, dropout, softcap, sinks)
            out = banded.joined(out, count, length)
        else:
            mask = None if _is_simple(inner_rule, softcap, sinks) else inner_rule.mask(length, query.device)
            is_causal = mask is None and inner_rule.causal
            out = _attention(q_NHLD, k_NHLD, v_NHLD, mask, is_causal, scaling, dropout, softcap, sinks)
        pieces.append(out.transpose(1, 2).reshape(1, count * length, out.shape[1], out.shape[3]))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


def by_group(
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
    """The same as `by_length`; neighbouring lengths share a call in which the shorter sentences are padded."""

    def attend(part: _Part, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return _attention(q, k, v, part.mask, False, scaling, dropout, softcap, sinks)

    return _by_part(query, key, value, packing, rule, attend)


def with_bias(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    within: Rule,
    bias: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """The same as `by_group`, with a bias on the scores of tokens that `rule` shows and `within` does not.

    A bias of 0 gives the attention of `rule`, and one of minus infinity that of `within`; it gets a gradient.
    """

    def attend(part: _Part, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        bias_LL = _gained(rule, within, part.shape[1], query.device) * bias
        return _explicit(q, k, v, part.mask, scaling, dropout, softcap, sinks, bias_LL)

    return _by_part(query, key, value, packing, rule, attend)


def _by_part(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, rule: Rule, attend: Callable[..., Tensor]
) -> Tensor:
    """Attention in padded parts: `attend(part, q, k, v)` has tensors [N, H, L, D]."""
    key, value = _repeated(key, value, query.shape[1])
    parts, positions_T = _plan(packing, rule, query.device)
    pieces = []
    for part in parts:
        qkv = (_sentences(x[0].index_select(1, part.rows), *part.shape) for x in (query, key, value))
        pieces.append(attend(part, *qkv).transpose(1, 2).flatten(0, 1))
    return torch.cat(pieces).index_select(0, positions_T).unsqueeze(0)


@functools.lru_cache(maxsize=64)
def _gained(rule: Rule, within: Rule, length: int, device: torch.device) -> Tensor:
    """[L, L]: 1 where `rule` lets the row attend to the column and `within` does not, otherwise 0."""
    with torch.inference_mode(False):
        both = (each.within(length).mask(length, device) for each in (rule, within))
        everywhere = torch.ones(length, length, dtype=torch.bool, device=device)
        shown, before = (everywhere if mask is None else mask for mask in both)
        return (shown & ~before).float()


@dataclass(frozen=True)
class _Part:
    rows: Tensor
    """[N * L]: the token in each row; padding repeats the last token of its sentence."""
    shape: tuple[int, int]
    """N and L."""
    mask: Tensor | None
    """[N, 1, L, L], True where the row may attend to the column; None if it may attend everywhere."""


@functools.lru_cache(maxsize=4)
def _plan(packing: Packing, rule: Rule, device: torch.device) -> tuple[tuple[_Part, ...], Tensor]:
    """The groups of a batch, and the row of each token in them; cached, because every block needs them."""
    with torch.inference_mode(False):  # what evaluation has cached is also used in training
        parts, positions, offset = [], torch.empty(packing.tokens, dtype=torch.long), 0
        for starts_N, lengths_N in groups_of(packing, _GROUP_COST):
            longest = int(lengths_N.max())
            place_L = torch.arange(longest)
            real_NL = place_L < lengths_N[:, None]
            tokens_NL = starts_N[:, None] + torch.minimum(place_L, lengths_N[:, None] - 1)
            rows_NL = offset + torch.arange(real_NL.numel()).view(real_NL.shape)
            positions[tokens_NL[real_NL]] = rows_NL[real_NL]
            mask = _padded_mask(rule, real_NL)
            moved = None if mask is None else to_device(mask, device)
            parts.append(_Part(to_device(tokens_NL.flatten(), device), (len(starts_N), longest), moved))
            offset += real_NL.numel()
        return tuple(parts), to_device(positions, device)


def _padded_mask(rule: Rule, real_NL: Tensor) -> Tensor | None:
    longest = real_NL.shape[1]
    visible_LL = rule.within(longest).mask(longest, real_NL.device)
    if visible_LL is None and bool(real_NL.all()):
        return None
    visible_NLL = real_NL[:, None, :].expand(len(real_NL), longest, longest)
    if visible_LL is not None:
        # A padded row attends to itself only, so that its softmax is finite.
        visible_NLL = visible_NLL & visible_LL | torch.eye(longest, dtype=torch.bool)
    return visible_NLL.unsqueeze(1).contiguous()


def _repeated(key: Tensor, value: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values with as many heads as the query."""
    share = heads // key.shape[1]
    if share == 1:
        return key, value
    return key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)


def _by_run(x: Tensor, packing: Packing) -> tuple[Tensor, ...]:
    """[1, H, T, D] → [H, N * L, D] for each run.

    One split is used instead of slices: its gradient is one `cat`, while that of each slice is as large as `x`.
    """
    return torch.split(x[0], [count * length for _, count, length in packing.runs], dim=1)


def _sentences(run_HTD: Tensor, count: int, length: int) -> Tensor:
    """[H, N * L, D] → [N, H, L, D]: the sentences of one run."""
    return run_HTD.reshape(run_HTD.shape[0], count, length, run_HTD.shape[2]).transpose(0, 1)


def _is_simple(rule: Rule, softcap: float | None, sinks: Tensor | None) -> bool:
    """Whether torch's fused attention needs no mask for this rule."""
    return rule.window is None and softcap is None and sinks is None


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    if softcap is not None or sinks is not None:
        return _explicit(q, k, v, mask, scaling, dropout, softcap, sinks)
    is_causal = is_causal and q.shape[2] > 1
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=is_causal, scale=scaling
    )


def _explicit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
    bias_LL: Tensor | None = None,
) -> Tensor:
    """Explicit attention: for families with a soft cap on scores (Gemma 2) or attention sinks (GPT-OSS), or a bias."""
    scores = q @ k.transpose(2, 3) * (scaling if scaling is not None else q.shape[-1] ** -0.5)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if bias_LL is not None:
        scores = scores + bias_LL.to(scores.dtype)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    if sinks is not None:
        column = sinks.to(scores.dtype).reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        weights = torch.cat([scores, column], dim=-1).softmax(-1, dtype=torch.float32)[..., :-1]
    else:
        weights = scores.softmax(-1, dtype=torch.float32)
    return F.dropout(weights.to(q.dtype), dropout, training=dropout > 0) @ v
