"""4-bit layers of bitsandbytes on a CPU: dequantized for each product, so that no float copy of the weights is kept.

The layer's compute dtype is that of the product; its inputs and outputs are float32.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn


def is_quantized(layer: nn.Module) -> bool:
    """Whether a layer is a 4-bit linear layer of bitsandbytes."""
    return _is_4bit(type(layer))  # type: ignore[arg-type]


@functools.cache
def _is_4bit(layer_class: type[nn.Module]) -> bool:
    # Compared by name, so that models without quantization do not import bitsandbytes.
    names = (f"{each.__module__}.{each.__name__}" for each in layer_class.__mro__)
    return "bitsandbytes.nn.modules.Linear4bit" in names


def multiplies_rounded(layer: Any) -> bool:
    """Whether a layer is a 4-bit layer that multiplies in half precision."""
    return is_quantized(layer) and layer.compute_dtype in (torch.bfloat16, torch.float16)


def can_dequantize(layer: Any) -> bool:
    """Whether a 4-bit layer is on a CPU, in the layout that `dequantized` reads, and multiplies as `product` can."""
    state = getattr(layer.weight, "quant_state", None)
    is_packed = bool(getattr(state, "packing_format_for_cpu", False))
    is_supported = layer.compute_dtype in (None, torch.float32, torch.bfloat16)
    return state is not None and not is_packed and is_supported and layer.weight.device.type == "cpu"


def dequantized(layer: Any) -> Tensor:
    """The weight [O, I] of a 4-bit layer, in the dtype in which the layer multiplies."""
    from bitsandbytes.functional import dequantize_4bit

    with torch.no_grad():
        weight: Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        return weight.to(layer.compute_dtype or torch.float32)
