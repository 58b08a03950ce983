"""Attention on padded batches in plain operations: what an export to ONNX traces instead of `attention.py`.

The masks are computed from `attention_mask` alone, so they become part of the traced graph: one for each rule that the
blocks have (causal or unmasked, with or without a sliding window), shared by all blocks with that rule.

Shapes: B sentences, L tokens of the longest, H query heads, K key and value heads, G = H / K, D head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.moe import ExpertsInterface
from transformers.masking_utils import AttentionMaskInterface

from .attention import rule_of
from .packing import Rule

NAME = "sltk_padded"


class PaddedMasks:
    """The masks of a batch that is padded on the right, each computed when a block first needs it.

    Args:
        is_real_BL: whether each token belongs to the sentence.
        positions_BL: the positions of tokens, if they are not those in the row: windows are distances of positions.
    """

    def __init__(self, is_real_BL: Tensor, positions_BL: Tensor | None = None) -> None:
        self._is_real_BL, self._positions_BL = is_real_BL, positions_BL
        self._masks: dict[Rule, Tensor] = {}

    def of(self, rule: Rule) -> Tensor:
        """[B, 1, 1, L, L], to add to scores: 0 where the row may attend to the column."""
        if rule not in self._masks:
            self._masks[rule] = self._computed(rule)
        return self._masks[rule]

    def _computed(self, rule: Rule) -> Tensor:
        position_L = torch.arange(self._is_real_BL.shape[1], device=self._is_real_BL.device)
        distance_LL = position_L[:, None] - position_L[None, :]
        # Padding attends to itself, so that no row is empty: its softmax would not be a number.
        visible_BLL = self._is_real_BL[:, None, :] | (distance_LL == 0)
        if rule.causal:
            visible_BLL = visible_BLL & (distance_LL >= 0)
        if rule.window is not None:
            visible_BLL = visible_BLL & (self._distances(distance_LL).abs() < rule.window)
        zero = torch.zeros((), dtype=torch.float32, device=position_L.device)
        return torch.where(visible_BLL, zero, torch.finfo(torch.float32).min)[:, None, None]

    def _distances(self, distance_LL: Tensor) -> Tensor:
        """[L, L] or [B, L, L]: the distance of the row's position from that of the column."""
        positions_BL = self._positions_BL
        return distance_LL if positions_BL is None else positions_BL[:, :, None] - positions_BL[:, None, :]


_active: list[PaddedMasks] = []
"""The masks of the batch that is being computed. Not an argument, because some families do not pass on theirs."""


@contextmanager
def using(masks: PaddedMasks) -> Iterator[None]:
    """Let attention use these masks inside the context."""
    _active.append(masks)
    try:
        yield
    finally:
        _active.pop()


def padded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each sentence. query [B, H, L, D], key and value [B, K, L, D] → [B, L, H, D]."""
    unmasked: bool = module.sltk_unmasked  # type: ignore[assignment]
    mask_B11LL = _active[-1].of(rule_of(module, sliding_window, unmasked))
    batch, length = query.shape[0], query.shape[2]
    # These sizes are numbers, also while torch traces: other sizes become operations of the graph.
    heads, groups, size = int(key.shape[1]), int(query.shape[1]) // int(key.shape[1]), int(query.shape[3])
    query_BKGLD = query.reshape(batch, heads, groups, length, size)
    scale = size**-0.5 if scaling is None else scaling
    scores = query_BKGLD @ key.transpose(2, 3).unsqueeze(2) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores + mask_B11LL
    sinks = None if s_aux is None else s_aux.view(heads, groups, 1, 1)
    weights = scores.softmax(-1) if sinks is None else _softmax_with_sinks(scores, sinks)
    out_BKGLD = weights @ value.unsqueeze(2)
    out_BHLD = out_BKGLD.reshape(batch, heads * groups, length, int(value.shape[3]))
    return out_BHLD.transpose(1, 2).contiguous(), None  # AFMoE views it in another shape


def _softmax_with_sinks(scores: Tensor, sinks: Tensor) -> Tensor:
    """The softmax with one more score per head, whose weight is then left out."""
    column = sinks.expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], -1).softmax(-1)[..., :-1]


def every_expert(module: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """Let every expert read every token, and add their outputs by the weights of the router.

    Experts that the router did not choose have the weight 0: the same result, without a graph that depends on data.
    """
    weights_TE = hidden_states.new_zeros(hidden_states.shape[0], module.num_experts)
    weights_TE = weights_TE.scatter(1, top_k_index, top_k_weights.to(hidden_states.dtype))
    total = torch.zeros_like(hidden_states)
    for expert in range(module.num_experts):
        total = total + _expert(module, expert, hidden_states) * weights_TE[:, expert, None]
    return total


def _expert(module: Any, expert: int, hidden: Tensor) -> Tensor:
    name = "gate_up_proj" if module.has_gate else "up_proj"
    inner = _linear(module, name, expert, hidden)
    inner = module._apply_gate(inner) if module.has_gate else module.act_fn(inner)
    return _linear(module, "down_proj", expert, inner)


def _linear(module: Any, name: str, expert: int, x: Tensor) -> Tensor:
    weight = getattr(module, name)[expert]
    y: Tensor = x @ (weight if module.is_transposed else weight.T)
    return y + getattr(module, f"{name}_bias")[expert] if module.has_bias else y


def _no_mask(*_: Any, **__: Any) -> None:
    """Keep transformers from building a mask: `PaddedMasks` has all of them."""
    return None


AttentionInterface.register(NAME, padded_attention)
AttentionMaskInterface.register(NAME, _no_mask)
ExpertsInterface.register(NAME, every_expert)
