"""The attention function of every model: packed sentences, and a causal mask that can be removed block by block.

transformers passes the queries, keys and values of *all* tokens of a batch, sentence after sentence, to the function
registered here. Attention runs within each sentence only, so no layer computes padding, and no token can attend to
it. Each attention module has its flag in `module.sltk_unmasked`, set by `mask_flags.assign_flags`. A window covers the
tokens nearer than its width, or up to its width if `module.sltk_inclusive` (see `mask_flags.is_bidirectional`).
`module.sltk_window` is the window of the mask itself, for unmasked blocks; the narrower of both applies.

Shapes: T tokens of the batch, H query heads, K key and value heads, D head size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface

from . import kernel_choice
from .packing import Packing, Rule

NAME = "sltk"


class NotPackedError(RuntimeError):
    """The attention function was called without a packing, so the ends of the sentences are unknown."""


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
        NotPackedError: the call did not come through `PackedBackbone`, so there is no packing.
    """
    # Blocks of some families (Nemotron, StableLM) pass on the position ids, but no arguments unknown to them.
    packing = packing if packing is not None else getattr(position_ids, "sltk_packing", None)
    if packing is None or attention_mask is not None:
        raise NotPackedError(
            "sltk attention was called without a packing, or with a mask that sltk did not set"
        )
    # Rotary positions in float32 turn q and k into float32 under autocast, which no fast kernel takes.
    query, key = query.to(value.dtype), key.to(value.dtype)
    attend = functools.partial(
        _attend, module, query, key, value, packing, sliding_window, scaling, dropout, softcap, s_aux
    )
    gate: Gate | None = getattr(module, "sltk_gate", None)
    unmasked: bool = module.sltk_unmasked  # type: ignore[assignment]
    return attend(unmasked) if gate is None else gate.attend(attend), None


class Gate(Protocol):
    """Decides about the mask of a block in place of its flag, while a mask is learned (`mask_gates.py`)."""

    def attend(self, attend: Callable[..., Tensor]) -> Tensor:
        """The attention of the block.

        Args:
            attend: `attend(unmasked)` is the attention of the block with a flag, `attend(True, bias)` that of an
                unmasked block with a bias on the scores of tokens that a causal one does not see.
        """


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    sliding_window: int | None,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
    unmasked: bool,
    bias: Tensor | None = None,
) -> Tensor:
    record, rule = getattr(module, "sltk_kernels", None), rule_of(module, sliding_window, unmasked)
    if bias is None:
        return kernel_choice.attend(
            record, query, key, value, packing, rule, scaling, dropout, softcap, sinks
        )
    within = rule_of(module, sliding_window, False)
    return kernel_choice.attend_with_bias(
        record, query, key, value, packing, rule, within, bias, scaling, dropout, softcap, sinks
    )


def rule_of(module: nn.Module, sliding_window: int | None, unmasked: bool) -> Rule:
    """Which tokens see each other in a block with this flag, whose attention module is called with this window."""
    window = None if unmasked and module.sltk_drop_window else sliding_window
    if window is not None and module.sltk_inclusive:
        window += 1
    reach: int | None = getattr(module, "sltk_window", None) if unmasked else None
    if reach is not None:
        window = reach + 1 if window is None else min(window, reach + 1)
    return Rule(causal=not unmasked, window=window)


# Not registered with `AttentionMaskInterface`: the packing and the flags are enough, so transformers need neither build
# a mask nor look for the ends of sentences in the positions.
AttentionInterface.register(NAME, packed_attention)
