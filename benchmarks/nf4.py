"""Models with random NF4 weights, made on the device itself: no file, and no copy in full precision."""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoModel, PretrainedConfig


def empty_model(config: PretrainedConfig, dtype: torch.dtype = torch.bfloat16, double: bool = True) -> Any:
    """A base model with 4-bit layers whose weights are on the meta device; buffers have their values.

    `double` quantizes the quantization constants too.
    """
    with init_empty_weights(include_buffers=False):
        model: Any = AutoModel.from_config(config, dtype=dtype, attn_implementation="eager")
        _quantize_layers(model, dtype, double)
    return model.requires_grad_(False)


def random_model(config: PretrainedConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """A base model with random weights, quantized layer by layer on the device."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    model = empty_model(config, dtype)
    for module in model.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            if isinstance(module, Linear4bit):
                shape = (module.out_features, module.in_features)
                full = torch.empty(shape, dtype=dtype, device=device).normal_(std=0.02)
                settings = {"compress_statistics": old.compress_statistics, "quant_type": old.quant_type}
                new: Any = Params4bit(full, requires_grad=False, module=module, **settings).to(device)
            else:
                is_norm = old.dim() == 1
                full = torch.empty(old.shape, dtype=dtype, device=device)
                new = nn.Parameter(full.fill_(1) if is_norm else full.normal_(std=0.02), requires_grad=False)
            module._parameters[name] = new
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = buffer.to(device)
    return model


def twin(model: Any) -> Any:
    """A model with the same weights, in memory once, and modules of its own."""
    shared: dict[int, Any] = {}
    for parameter in model.parameters():
        shared[id(parameter)] = parameter
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            shared[id(state)] = state
    return copy.deepcopy(model, shared)


def _quantize_layers(model: Any, dtype: torch.dtype, double: bool) -> None:
    import bitsandbytes

    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear):
            quantized = bitsandbytes.nn.Linear4bit(
                layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=dtype,
                compress_statistics=double, quant_type="nf4", device="meta",
            )  # fmt: skip
            quantized.support_avx512bf16_for_cpu = False  # its products have no gradient
            model.set_submodule(name, quantized)
    model.is_loaded_in_4bit = True  # peft asks
