"""Attention of long sentences with a window, as a band: the cost grows with the length instead of its square.

Queries are cut into chunks, and each chunk attends to the keys of its own tokens and of those within the window.

Shapes: N sentences of L tokens, H heads, D head size; C chunks of Q queries, each with S keys.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from .packing import Rule

_SMALLEST_CHUNK = 64
"""Tokens. Smaller chunks would save little and need more memory for the keys that neighbours share."""


def is_cheaper(rule: Rule, length: int) -> bool:
    """Whether at most half as many scores are computed as for all pairs of tokens."""
    return rule.window is not None and 2 * _sizes(rule)[1] <= length


def chunks(
    q_NHLD: Tensor, k_NHLD: Tensor, v_NHLD: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries [N * C, H, Q, D], keys and values [N * C, H, S, D], and the mask [N * C, 1, Q, S] of their scores."""
    count, _, length, _ = q_NHLD.shape
    size, span = _sizes(rule)
    missing = -length % size
    before = _reach(rule)
    after = span - size - before
    q = _cut(F.pad(q_NHLD, (0, 0, 0, missing)), size, size)
    k, v = (_cut(F.pad(x, (0, 0, before, after + missing)), span, size) for x in (k_NHLD, v_NHLD))
    return q, k, v, _mask(rule, length, q_NHLD.device).repeat(count, 1, 1, 1)


def joined(out: Tensor, count: int, length: int) -> Tensor:
    """[N * C, H, Q, D] → [N, H, L, D]: the chunks in a row, without what was added to the last one."""
    chunks_NCHQD = out.view(count, -1, *out.shape[1:])
    return chunks_NCHQD.transpose(1, 2).flatten(2, 3)[:, :, :length]


def _reach(rule: Rule) -> int:
    assert rule.window is not None
    return rule.window - 1


def _sizes(rule: Rule) -> tuple[int, int]:
    """Q and S."""
    reach = _reach(rule)
    size = max(reach, _SMALLEST_CHUNK)
    return size, size + (reach if rule.causal else 2 * reach)


def _cut(x_NHLD: Tensor, span: int, step: int) -> Tensor:
    """Pieces of `span` tokens, one every `step` tokens: [N * C, H, span, D]."""
    return x_NHLD.unfold(2, span, step).permute(0, 2, 1, 4, 3).flatten(0, 1)


@functools.lru_cache(maxsize=16)
def _mask(rule: Rule, length: int, device: torch.device) -> Tensor:
    """[C, 1, Q, S], True where the row may attend to the column."""
    size, span = _sizes(rule)
    with torch.inference_mode(False):  # what evaluation has cached is also used in training
        start_C = torch.arange(0, length, size, device=device)[:, None, None]
        row_CQ1 = start_C + torch.arange(size, device=device)[:, None]
        column_C1S = start_C + torch.arange(span, device=device) - _reach(rule)
        distance_CQS = row_CQ1 - column_C1S
        visible_CQS = (distance_CQS.abs() <= _reach(rule)) & (column_C1S >= 0) & (column_C1S < length)
        if rule.causal:
            visible_CQS &= distance_CQS >= 0
        # A row that was added attends to itself only, so that its softmax is finite.
        return (visible_CQS | (distance_CQS == 0)).unsqueeze(1)
