"""Models with random NF4 weights, made on the device itself: no file, and no copy in full precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig


def empty_model(config: PretrainedConfig, double: bool = True) -> Any:
    """A base model with 4-bit layers on the meta device; `double` quantizes the quantization constants too."""
    with torch.device("meta"):
        model: Any = AutoModel.from_config(config, dtype=torch.bfloat16, attn_implementation="eager")
        _quantize_layers(model, double)
    return model.requires_grad_(False)


def _quantize_layers(model: Any, double: bool) -> None:
    import bitsandbytes

    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear):
            quantized = bitsandbytes.nn.Linear4bit(
                layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=torch.bfloat16,
                compress_statistics=double, quant_type="nf4",
            )  # fmt: skip
            model.set_submodule(name, quantized)
    model.is_loaded_in_4bit = model.is_quantized = True
