"""The attention function of every model: packed sentences, and a causal mask that can be removed block by block.

transformers passes the queries, keys and values of *all* tokens of a batch, sentence after sentence, to the function
registered here. Attention runs within each sentence only, so no layer computes padding, and no token can attend to
it. Each attention module has its flag in `module.sltk_unmasked`, set by `mask_flags.assign_flags`. A window covers the
tokens nearer than its width, or up to its width if `module.sltk_inclusive` (see `mask_flags.is_bidirectional`).

Shapes: T tokens of the batch, H query heads, K key and value heads, D head size.
"""

from __future__ import annotations

from typing import Any

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
    unmasked: bool = module.sltk_unmasked  # type: ignore[assignment]
    window = None if unmasked and module.sltk_drop_window else sliding_window
    if window is not None and module.sltk_inclusive:
        window += 1
    rule = Rule(causal=not unmasked, window=window)
    # Rotary positions in float32 turn q and k into float32 under autocast, which no fast kernel takes.
    query, key = query.to(value.dtype), key.to(value.dtype)
    record = getattr(module, "sltk_kernels", None)
    out = kernel_choice.attend(record, query, key, value, packing, rule, scaling, dropout, softcap, s_aux)
    return out, None


# Not registered with `AttentionMaskInterface`: the packing and the flags are enough, so transformers need neither build
# a mask nor look for the ends of sentences in the positions.
AttentionInterface.register(NAME, packed_attention)
