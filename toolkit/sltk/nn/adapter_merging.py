"""Merge adapters and dequantize layers: the weights of a model as a plain transformers model has them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from .fused.onednn import stores_transposed

_ADAPTER_MODULES = (
    "base_layer",
    "lora_A",
    "lora_B",
    "lora_dropout",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "modules_to_save",
    "original_module",
)


def plain_weights(model: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return the config, and the weights by name on the CPU.

    Adapters are added to the base weights in float32; all weights get the dtype of those that are not quantized.
    """
    base, config = _base(model), plain_config(model)
    dtype, transposed = config.dtype, _stored_transposed(config)
    state: dict[str, Tensor] = {}
    for name, module in base.named_modules():
        if not set(name.split(".")) & set(_ADAPTER_MODULES):
            own = _own(module, name in transposed)
            state |= {f"{name}.{key}" if name else key: value.to(dtype).cpu() for key, value in own.items()}
    return config, state


def plain_config(model: Any) -> Any:
    """The config of the weights that `plain_weights` returns."""
    base = _base(model)
    config = copy.deepcopy(base.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = _dtype(base)
    return config


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _dtype(base: nn.Module) -> torch.dtype:
    parameters = base.named_parameters()
    return next(p.dtype for name, p in parameters if "lora_" not in name and p.is_floating_point())


def _stored_transposed(config: Any) -> set[str]:
    """Names of the linear layers of GPT-2, whose weights are [in, out] unless they are quantized."""
    with torch.device("meta"):
        skeleton = AutoModel.from_config(config, attn_implementation="eager", trust_remote_code=False)
    return {name for name, part in skeleton.named_modules() if stores_transposed(part)}


def _own(module: Any, transposed: bool) -> dict[str, Tensor]:
    """The weights and buffers of a module itself; for a layer with adapters, their sum."""
    if "original_module" in module._modules:  # trained whole, in a copy
        (name,) = module.active_adapters
        module = module.modules_to_save[name]
    layer = getattr(module, "base_layer", module)
    saved = set(layer.state_dict())
    own = {key: value.detach() for key, value in layer.named_parameters(recurse=False)}
    own |= {key: value for key, value in layer.named_buffers(recurse=False) if key in saved}
    if "weight" in own and not own["weight"].is_floating_point():
        weight = _dequantized(layer)
        own["weight"] = weight.T.contiguous() if transposed else weight
    if layer is not module:
        delta = _delta(module)
        changed = own["weight"].float() + (delta.T if transposed else delta)
        own["weight"] = changed * _norm_factor(module, changed, transposed)
    return own


def _norm_factor(module: Any, weight: Tensor, transposed: bool) -> Tensor | float:
    """What DoRA multiplies the weights of each output with, so that they have the norm that it has trained."""
    if not module.lora_magnitude_vector:
        return 1.0
    (name,) = module.active_adapters
    trained = module.lora_magnitude_vector[name].weight.detach().float()
    factor: Tensor = trained / torch.linalg.norm(weight, dim=0 if transposed else 1)
    return factor if transposed else factor.unsqueeze(1)


def _delta(module: Any) -> Tensor:
    """The sum of the adapters of a layer, to add to its weight [out, in]: `scale * B @ A`."""
    changes = [
        module.lora_B[name].weight.detach().float()
        @ module.lora_A[name].weight.detach().float()
        * module.scaling[name]
        for name in module.active_adapters
    ]
    return torch.stack(changes).sum(0)


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
