"""Replace linear and LoRA layers by those for autocast, where a trial gives the same results."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from . import _fused_class, _no_zeros, _settings, _values_and_gradients, _width
from .autocast_adapter import AutocastAdapter, AutocastLinear

Trial = Callable[[nn.Module, torch.dtype], bool]
_TOLERANCE = 0.03
"""Largest difference, relative to the largest number; bfloat16 has 8 significant bits."""


def prepare(network: nn.Module, dtype: torch.dtype, *, trial: Trial | None = None) -> None:
    """Replace layers of a network that will run under autocast in `dtype`; without autocast they compute as before.

    One LoRA layer with each setting and size is tried first, forwards and backwards, under autocast. One that differs
    from peft's, or raises an exception, is not replaced.

    Args:
        trial: says whether a LoRA layer can be replaced, where layers cannot compute because they have no data.
    """
    trial = trial or _computes_the_same
    verdicts: dict[tuple[object, ...], bool] = {}
    for module in network.modules():
        if AutocastLinear.resembles(module):
            module.__class__ = _fused_class(type(module), AutocastLinear)
        if not AutocastAdapter.resembles(module) or isinstance(module, AutocastAdapter):
            continue
        key = (type(module), type(module.base_layer), *_settings(module))
        if key not in verdicts:
            verdicts[key] = trial(module, dtype)
        if verdicts[key]:
            module.__class__ = _fused_class(type(module), AutocastAdapter)


def round_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Give linear layers the weights that autocast in `dtype` multiplies, instead of those in float32.

    Other models may share the float32 weights, which stay as they are.
    """
    for module in network.modules():
        if not isinstance(module, AutocastLinear):
            continue
        for name, weight in module.named_parameters(recurse=False):
            if weight.dtype == torch.float32:
                setattr(module, name, nn.Parameter(weight.detach().to(dtype), requires_grad=False))


def _computes_the_same(module: nn.Module, dtype: torch.dtype) -> bool:
    """Compare results and gradients with those of peft, both under autocast."""
    stock, was_training = type(module), module.training
    device, width = next(module.parameters()).device, _width(module)
    x = torch.linspace(-2.0, 2.0, 3 * width, device=device).sin().reshape(1, 3, width)
    try:
        module.eval()
        # The first caller may be in inference mode, where nothing has a gradient.
        with torch.inference_mode(False), torch.autocast(device.type, dtype), _no_zeros(module):
            expected = _values_and_gradients(module, x)
            module.__class__ = _fused_class(stock, AutocastAdapter)
            results = _values_and_gradients(module, x)
    except Exception:  # a layer with a forward of its own: peft computes
        return False
    finally:
        module.__class__ = stock
        module.train(was_training)
    return all(
        bool((a - b).abs().max() <= _TOLERANCE * b.abs().max())
        for a, b in zip(results, expected, strict=True)
    )
