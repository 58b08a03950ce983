"""Attention of short sentences on a CPU: a few groups, each padded to one length, with a hand-written gradient.

A batch of sixteen sentences has about a dozen lengths, and calling a kernel for each costs more than the computation
itself. Here neighbouring lengths share a group where that is cheaper, and the results of the few padded rows are
discarded. Each step is one operation for a whole group: gather, product, softmax, product, and back.

Shapes: T tokens of the batch, H query heads, K key and value heads, G = H / K queries per key, D head size;
N sentences of a group, L tokens of its longest sentence. Rows of queries are ordered [K, N, G, L], of keys [K, N, L].
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .fused.cpu_float32 import in_float32_on_cpu
from .fused.dropout import dropout_factors
from .length_groups import groups_of
from .packing import Packing, Rule

_LONGEST = 128
"""Tokens. Memory grows with the square of the length; for longer sentences one kernel call per length is better."""
_GROUP_COST = 1200
"""Cost of one more group, as the number of scores of one head that could be computed in that time. Times change by at
most a sixth if it is three times as large or a third of it."""


def supports(query: Tensor, packing: Packing) -> bool:
    """Whether `attend` should compute this call."""
    return in_float32_on_cpu(query) and max(length for *_, length in packing.runs) <= _LONGEST


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    scaling: float | None,
    dropout: float,
) -> Tensor:
    """Attention within each sentence. query [1, H, T, D], key and value [1, K, T, D] → [1, T, H, D]."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    plan = _plan(packing, rule, query.shape[1], key.shape[1])
    return _Attention.apply(query, key, value, plan, scale, dropout)  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True)
class _Group:
    """Slices of a group in the rows of all groups, and the mask of its scores."""

    queries: slice
    keys: slice
    shape: tuple[int, int, int]
    """[K * N, G * L, L] of its scores."""
    mask: Tensor | None
    """Of that shape: 0 where a row may attend, otherwise minus infinity; None if it may attend everywhere."""


@dataclass(frozen=True)
class _Plan:
    """Indices that map the rows [T * H] of queries, and [T * K] of keys and values, to rows of groups and back."""

    groups: tuple[_Group, ...]
    query_rows: Tensor
    key_rows: Tensor
    real_queries: Tensor
    """[rows, 1]: 1 for a token, 0 for padding."""
    query_positions: Tensor
    """[T * H]: position of each row of the batch in the groups."""
    key_positions: Tensor
    """[T * K]: the same for keys and values."""


@functools.lru_cache(maxsize=4)
def _plan(packing: Packing, rule: Rule, heads: int, key_heads: int) -> _Plan:
    """The plan of a batch; cached, because all blocks of a model use the same one or two."""
    share = heads // key_heads
    head_KG = torch.arange(heads).view(key_heads, share)
    groups: list[_Group] = []
    query_rows: list[Tensor] = []
    key_rows: list[Tensor] = []
    real_queries: list[Tensor] = []
    real_keys: list[Tensor] = []
    for starts_N, lengths_N in groups_of(packing, _GROUP_COST):
        size, longest = len(starts_N), int(lengths_N.max())
        position_L = torch.arange(longest)
        real_NL = position_L < lengths_N[:, None]
        token_NL = starts_N[:, None] + position_L * real_NL
        rows_KNGL = token_NL[None, :, None] * heads + head_KG[:, None, :, None]
        rows_KNL = token_NL * key_heads + torch.arange(key_heads)[:, None, None]
        first_query = groups[-1].queries.stop if groups else 0
        first_key = groups[-1].keys.stop if groups else 0
        query_rows.append(rows_KNGL.flatten())
        key_rows.append(rows_KNL.flatten())
        real_queries.append(real_NL[None, :, None].expand_as(rows_KNGL).flatten())
        real_keys.append(real_NL.expand_as(rows_KNL).flatten())
        group = _Group(
            slice(first_query, first_query + rows_KNGL.numel()),
            slice(first_key, first_key + rows_KNL.numel()),
            (key_heads * size, share * longest, longest),
            _mask(rule, real_NL, key_heads, share),
        )
        groups.append(group)
    queries, keys, is_real = torch.cat(query_rows), torch.cat(key_rows), torch.cat(real_queries)
    return _Plan(
        tuple(groups),
        queries,
        keys,
        is_real.float().unsqueeze(1),
        _inverse(queries, is_real),
        _inverse(keys, torch.cat(real_keys)),
    )


def _inverse(rows: Tensor, is_real: Tensor) -> Tensor:
    """The position of each row of the batch in the groups."""
    real = is_real.nonzero().squeeze(1)
    positions = torch.empty_like(real)
    positions[rows[real]] = real
    return positions


def _mask(rule: Rule, real_NL: Tensor, key_heads: int, share: int) -> Tensor | None:
    size, longest = real_NL.shape
    visible_LL = rule.within(longest).mask(longest, torch.device("cpu"))
    if visible_LL is None and bool(real_NL.all()):
        return None
    visible_NLL = real_NL[:, None, :].expand(size, longest, longest)
    if visible_LL is not None:
        # A padded row attends to itself only, so that its softmax is finite.
        visible_NLL = visible_NLL & visible_LL | torch.eye(longest, dtype=torch.bool)
    mask_NLL = torch.zeros(size, longest, longest).masked_fill_(~visible_NLL, -torch.inf)
    mask = mask_NLL[None, :, None].expand(key_heads, size, share, longest, longest)
    return mask.reshape(key_heads * size, share * longest, longest)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: _Plan, scale: float, dropout: float
    ) -> Tensor:
        q = _rows(query).index_select(0, plan.query_rows)
        k, v = (_rows(x).index_select(0, plan.key_rows) for x in (key, value))
        out = v.new_empty(len(q), v.shape[-1])
        weights, factors = [], []
        for group in plan.groups:
            scores = _scores(q, k, group, scale)
            weights.append(torch.softmax(scores, -1))
            factors.append(dropout_factors(scores, dropout) if dropout else None)
            remaining = weights[-1] if factors[-1] is None else weights[-1] * factors[-1]
            torch.bmm(remaining, _keys(v, group), out=_queries(out, group))
        ctx.save_for_backward(q, k, v, *weights, *(each for each in factors if each is not None))
        ctx.plan, ctx.scale = plan, scale
        ctx.shapes = query.shape, key.shape, value.shape
        _, heads, tokens, _ = query.shape
        return out.index_select(0, plan.query_positions).view(1, tokens, heads, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        plan, scale = ctx.plan, ctx.scale
        q, k, v, *rest = ctx.saved_tensors
        count = len(plan.groups)
        weights, factors = rest[:count], rest[count:] or [None] * count
        grad_out = gradient.reshape(-1, gradient.shape[-1]).index_select(0, plan.query_rows)
        grad_out.mul_(plan.real_queries)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for group, weight, factor in zip(plan.groups, weights, factors, strict=True):
            grad_weights = torch.bmm(_queries(grad_out, group), _keys(v, group).transpose(1, 2))
            remaining = weight
            if factor is not None:
                grad_weights.mul_(factor)
                remaining = weight * factor
            torch.bmm(remaining.transpose(1, 2), _queries(grad_out, group), out=_keys(grad_v, group))
            grad_scores = torch._softmax_backward_data(grad_weights, weight, -1, torch.float32).mul_(scale)
            torch.bmm(grad_scores, _keys(k, group), out=_queries(grad_q, group))
            torch.bmm(grad_scores.transpose(1, 2), _queries(q, group), out=_keys(grad_k, group))
        positions = plan.query_positions, plan.key_positions, plan.key_positions
        gradients = zip((grad_q, grad_k, grad_v), positions, ctx.shapes, strict=True)
        grad_qkv = [_heads_first(rows.index_select(0, index), shape) for rows, index, shape in gradients]
        return *grad_qkv, None, None, None


def _scores(q: Tensor, k: Tensor, group: _Group, scale: float) -> Tensor:
    left, right = _queries(q, group), _keys(k, group).transpose(1, 2)
    if group.mask is None:
        return torch.baddbmm(q.new_empty(1, 1, 1), left, right, beta=0, alpha=scale)
    return torch.baddbmm(group.mask, left, right, alpha=scale)


def _rows(x: Tensor) -> Tensor:
    """[1, H, T, D] → [T * H, D]; no copy if the heads of each token are contiguous, as after projections."""
    return x.transpose(1, 2).reshape(-1, x.shape[-1])


def _heads_first(rows: Tensor, shape: torch.Size) -> Tensor:
    """[T * H, D] → [1, H, T, D]."""
    _, heads, tokens, size = shape
    return rows.view(1, tokens, heads, size).transpose(1, 2)


def _queries(rows: Tensor, group: _Group) -> Tensor:
    """[rows of all groups, D] → [K * N, G * L, D] of one group."""
    return rows[group.queries].view(group.shape[0], group.shape[1], -1)


def _keys(rows: Tensor, group: _Group) -> Tensor:
    """[rows of all groups, D] → [K * N, L, D] of one group."""
    return rows[group.keys].view(group.shape[0], group.shape[2], -1)
