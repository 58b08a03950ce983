"""Attention of short sentences on a CPU: a few groups padded to one length each, with a gradient written by hand.

A batch of sixteen sentences has a dozen lengths, and a kernel called for each costs more than what it computes. Here
neighbouring lengths share a group where that is cheaper, the few padded rows are computed and thrown away, and every
step is one operation for a whole group: gather, product, softmax, product, and back.

Shapes: T tokens of the batch, H query heads, K key and value heads, G = H / K queries of one key, D head size;
N sentences of a group, L tokens of its longest. Rows of queries are ordered [K, N, G, L], of keys [K, N, L].
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .fused.cpu_float32 import in_float32_on_cpu
from .fused.dropout import factors
from .packing import Packing, Rule

_LONGEST = 128
"""Tokens. Memory grows with the square of a length, and beyond it a kernel of its own pays."""
_CALL = 1200
"""What one more group costs, in scores of one head that could be computed meanwhile. Three times as much, or a third
of it, gives the same times to a sixth."""


def serves(query: Tensor, packing: Packing) -> bool:
    """Whether `attend` is to compute this."""
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
    """Where the rows of a group are among those of all, and what its scores begin with."""

    queries: slice
    keys: slice
    shape: tuple[int, int, int]
    """[K * N, G * L, L] of its scores."""
    hidden: Tensor | None
    """Of that shape: 0, and minus infinity where a row may not look; None where it may look everywhere."""


@dataclass(frozen=True)
class _Plan:
    """How rows [T * H] of queries, and [T * K] of keys and values, become those of groups, and back."""

    groups: tuple[_Group, ...]
    query_rows: Tensor
    key_rows: Tensor
    real_queries: Tensor
    """[rows, 1]: 1 for a token, 0 for padding."""
    of_query: Tensor
    """[T * H]: where each row of the batch is in the groups."""
    of_key: Tensor


@functools.lru_cache(maxsize=4)
def _plan(packing: Packing, rule: Rule, heads: int, key_heads: int) -> _Plan:
    """Blocks of a model ask for the same one, or for one of two."""
    share = heads // key_heads
    head_KG = torch.arange(heads).view(key_heads, share)
    groups: list[_Group] = []
    query_rows: list[Tensor] = []
    key_rows: list[Tensor] = []
    real_queries: list[Tensor] = []
    real_keys: list[Tensor] = []
    for starts_N, lengths_N in _grouped(packing):
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
            _hidden(rule, real_NL, key_heads, share),
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
    """Where each row of the batch is among those of the groups."""
    real = is_real.nonzero().squeeze(1)
    places = torch.empty_like(real)
    places[rows[real]] = real
    return places


def _hidden(rule: Rule, real_NL: Tensor, key_heads: int, share: int) -> Tensor | None:
    size, longest = real_NL.shape
    seen_LL = rule.within(longest).mask(longest, torch.device("cpu"))
    if seen_LL is None and bool(real_NL.all()):
        return None
    seen_NLL = real_NL[:, None, :].expand(size, longest, longest)
    if seen_LL is not None:
        # A padded row sees itself alone, so that its softmax is a number.
        seen_NLL = seen_NLL & seen_LL | torch.eye(longest, dtype=torch.bool)
    hidden_NLL = torch.zeros(size, longest, longest).masked_fill_(~seen_NLL, -torch.inf)
    hidden = hidden_NLL[None, :, None].expand(key_heads, size, share, longest, longest)
    return hidden.reshape(key_heads * size, share * longest, longest)


def _grouped(packing: Packing) -> Iterator[tuple[Tensor, Tensor]]:
    """Starts and lengths of the sentences of each group: neighbouring runs, so that groups and padding cost least."""
    runs = packing.runs
    # cheapest[i]: the least that the runs from i on cost, and where the group that begins there ends.
    cheapest = [(0, 0)] * (len(runs) + 1)
    for first in reversed(range(len(runs))):
        choices: list[tuple[int, int]] = []
        count = longest = 0
        for last in range(first, len(runs)):
            _, more, length = runs[last]
            count, longest = count + more, max(longest, length)
            if choices and _CALL + count * longest**2 > min(choices)[0]:
                break  # longer groups cost more still
            choices.append((_CALL + count * longest**2 + cheapest[last + 1][0], last + 1))
        cheapest[first] = min(choices)
    first = 0
    while first < len(runs):
        last = cheapest[first][1]
        sentences = [(start + i * n, n) for start, count, n in runs[first:last] for i in range(count)]
        starts, lengths = zip(*sentences, strict=True)
        yield torch.tensor(starts), torch.tensor(lengths)
        first = last


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: _Plan, scale: float, dropout: float
    ) -> Tensor:
        q = _rows(query).index_select(0, plan.query_rows)
        k, v = (_rows(x).index_select(0, plan.key_rows) for x in (key, value))
        out = v.new_empty(len(q), v.shape[-1])
        weights, kept = [], []
        for group in plan.groups:
            scores = _scores(q, k, group, scale)
            weights.append(torch.softmax(scores, -1))
            kept.append(factors(scores, dropout) if dropout else None)
            seen = weights[-1] if kept[-1] is None else weights[-1] * kept[-1]
            torch.bmm(seen, _keys(v, group), out=_queries(out, group))
        ctx.save_for_backward(q, k, v, *weights, *(each for each in kept if each is not None))
        ctx.plan, ctx.scale = plan, scale
        ctx.shapes = query.shape, key.shape, value.shape
        _, heads, tokens, _ = query.shape
        return out.index_select(0, plan.of_query).view(1, tokens, heads, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        plan, scale = ctx.plan, ctx.scale
        q, k, v, *rest = ctx.saved_tensors
        weights, kept = rest[: len(plan.groups)], rest[len(plan.groups) :] or [None] * len(plan.groups)
        of_out = gradient.reshape(-1, gradient.shape[-1]).index_select(0, plan.query_rows)
        of_out.mul_(plan.real_queries)
        of_q, of_k, of_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for group, weight, factor in zip(plan.groups, weights, kept, strict=True):
            of_seen = torch.bmm(_queries(of_out, group), _keys(v, group).transpose(1, 2))
            seen = weight
            if factor is not None:
                of_seen.mul_(factor)
                seen = weight * factor
            torch.bmm(seen.transpose(1, 2), _queries(of_out, group), out=_keys(of_v, group))
            of_scores = torch._softmax_backward_data(of_seen, weight, -1, torch.float32).mul_(scale)
            torch.bmm(of_scores, _keys(k, group), out=_queries(of_q, group))
            torch.bmm(of_scores.transpose(1, 2), _queries(q, group), out=_keys(of_k, group))
        places = plan.of_query, plan.of_key, plan.of_key
        found = zip((of_q, of_k, of_v), places, ctx.shapes, strict=True)
        of_qkv = [_heads_first(rows.index_select(0, place), shape) for rows, place, shape in found]
        return *of_qkv, None, None, None


def _scores(q: Tensor, k: Tensor, group: _Group, scale: float) -> Tensor:
    left, right = _queries(q, group), _keys(k, group).transpose(1, 2)
    if group.hidden is None:
        return torch.baddbmm(q.new_empty(1, 1, 1), left, right, beta=0, alpha=scale)
    return torch.baddbmm(group.hidden, left, right, alpha=scale)


def _rows(x: Tensor) -> Tensor:
    """[1, H, T, D] → [T * H, D]; no copy where heads of one token lie together, as projections leave them."""
    return x.transpose(1, 2).reshape(-1, x.shape[-1])


def _heads_first(rows: Tensor, shape: torch.Size) -> Tensor:
    """[T * H, D] → [1, H, T, D]."""
    _, heads, tokens, size = shape
    return rows.view(1, tokens, heads, size).transpose(1, 2)


def _queries(rows: Tensor, group: _Group) -> Tensor:
    """[rows of all groups, D] → [K * N, G * L, D] of one."""
    return rows[group.queries].view(group.shape[0], group.shape[1], -1)


def _keys(rows: Tensor, group: _Group) -> Tensor:
    """[rows of all groups, D] → [K * N, L, D] of one."""
    return rows[group.keys].view(group.shape[0], group.shape[2], -1)
