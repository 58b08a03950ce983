"""The weights of a model as a plain transformers model has them: adapters merged, quantized layers dequantized."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_OF_ADAPTERS = (
    "base_layer",
    "lora_A",
    "lora_B",
    "lora_dropout",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
)


def plain_weights(model: Any) -> tuple[Any, dict[str, Tensor]]:
    """Config and weights by name, on the CPU.

    Sums are made in float32; weights keep the dtype of those that are not quantized.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = copy.deepcopy(base.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    dtype = next(
        parameter.dtype
        for name, parameter in base.named_parameters()
        if "lora_" not in name and parameter.is_floating_point()
    )
    config.dtype = dtype
    state: dict[str, Tensor] = {}
    for name, module in base.named_modules():
        if not set(name.split(".")) & set(_OF_ADAPTERS):
            state |= {
                f"{name}.{key}" if name else key: value.to(dtype).cpu() for key, value in _own(module).items()
            }
    return config, state


def _own(module: Any) -> dict[str, Tensor]:
    """A module's own weights and buffers; of an adapted layer, the sum of the layer and its adapters."""
    layer = getattr(module, "base_layer", module)
    own = {key: value.detach() for key, value in layer.named_parameters(recurse=False)}
    kept = set(layer.state_dict())
    own |= {key: value for key, value in layer.named_buffers(recurse=False) if key in kept}
    if "weight" in own and not own["weight"].is_floating_point():
        own["weight"] = _dequantized(layer)
    if layer is not module:
        delta = sum(module.get_delta_weight(adapter).float() for adapter in module.active_adapters)
        own["weight"] = own["weight"].float() + delta
    return own


def _dequantized(layer: nn.Module) -> Tensor:
    """The float weights that a bitsandbytes layer multiplies with, [out, in]."""
    from peft.utils.integrations import dequantize_bnb_weight

    weight: Any = layer.weight
    if hasattr(weight, "quant_state"):
        return torch.as_tensor(dequantize_bnb_weight(weight, state=weight.quant_state)).float()
    state: Any = layer.state
    if state.SCB is None:
        state.SCB = weight.SCB
    return torch.as_tensor(dequantize_bnb_weight(weight, state=state)).float()
