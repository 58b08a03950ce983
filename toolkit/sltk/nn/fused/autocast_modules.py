"""Replace linear layers, LoRA layers and norms by those for autocast, where a trial gives the same results."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from . import _fused_class, _no_zeros, _settings, _values_and_gradients, _width
from .autocast_adapter import AutocastAdapter, AutocastLinear
from .autocast_norm import AutocastRMSNorm

Trial = Callable[[nn.Module, torch.dtype, type[nn.Module]], bool]
_TRIED: tuple[type[AutocastAdapter] | type[AutocastRMSNorm], ...] = (AutocastAdapter, AutocastRMSNorm)
_TOLERANCE = 0.03
"""Largest difference, relative to the largest number; bfloat16 has 8 significant bits."""


def prepare(network: nn.Module, dtype: torch.dtype, *, trial: Trial | None = None) -> None:
    """Replace layers of a network that will run under autocast in `dtype`; without autocast they compute as before.

    One LoRA layer and one norm with each setting and size is tried first, forwards and backwards, under autocast. One
    that differs from the stock module, or raises an exception, is not replaced.

    Args:
        trial: says whether a module can be replaced, where modules cannot compute because they have no data.
    """
    trial = trial or _computes_the_same
    verdicts: dict[tuple[object, ...], bool] = {}
    for module in network.modules():
        if AutocastLinear.resembles(module):
            module.__class__ = _fused_class(type(module), AutocastLinear)
        fused = next((each for each in _TRIED if each.resembles(module)), None)
        if fused is None or isinstance(module, fused):
            continue
        key = (type(module), type(getattr(module, "base_layer", None)), *_settings(module))
        if key not in verdicts:
            verdicts[key] = trial(module, dtype, fused)
        if verdicts[key]:
            module.__class__ = _fused_class(type(module), fused)


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


def _computes_the_same(module: nn.Module, dtype: torch.dtype, fused: type[nn.Module]) -> bool:
    """Compare results and gradients with those of the stock module, both under autocast."""
    stock, was_training = type(module), module.training
    device, width = next(module.parameters()).device, _width(module)
    x = torch.linspace(-2.0, 2.0, 3 * width, device=device).sin().reshape(1, 3, width)
    if fused is AutocastRMSNorm:  # it computes where both have one dtype
        x = x.to(next(module.parameters()).dtype)
    elif dtype == torch.float16:
        x = 0.01 * x  # large sums, and the gradients of their weights, would overflow it
    try:
        module.eval()
        # The first caller may be in inference mode, where nothing has a gradient.
        with torch.inference_mode(False), torch.autocast(device.type, dtype), _no_zeros(module):
            expected = _values_and_gradients(module, x)
            module.__class__ = _fused_class(stock, fused)
            results = _values_and_gradients(module, x)
    except Exception:  # a module with a forward of its own computes
        return False
    finally:
        module.__class__ = stock
        module.train(was_training)
    return all(
        bool((a - b).abs().max() <= _TOLERANCE * b.abs().max())
        for a, b in zip(results, expected, strict=True)
    )
