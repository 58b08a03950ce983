"""Small operations in fewer passes over memory, and products by the faster library. The same numbers, to rounding.

A batch of short sentences packed end to end is a few hundred subwords. Much of its step on a CPU is not matrix
products but what lies between them, and transformers, peft and torch write it out operation by operation, each
reading and writing the whole batch, and keeping for the backward pass what could be had again for less. Here each is
one function with a gradient written by hand. `fuse` puts them in the place of modules that are shown to compute the
same; on a GPU and in half precision the modules compute as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .adapter import FusedAdapter
from .cpu_float32 import in_float32_on_cpu
from .dropout import FusedDropout
from .gated_mlp import FusedGatedMLP
from .norm import FusedRMSNorm
from .onednn import FusedLinear

_KINDS: tuple[Any, ...] = (FusedDropout, FusedLinear, FusedRMSNorm, FusedGatedMLP, FusedAdapter)
_TOLERANCE = 1e-5
"""Of the largest number."""
_LARGE = 100.0
"""Where a limit on what goes through a module shows."""


def fuse(network: nn.Module) -> None:
    """Have the modules of a network compute with the functions here, where that changes nothing but the time.

    One module of each class and each setting is tried first, forwards and backwards, on small numbers and on large
    ones; what computes something else (Gemma's norms, MLPs with another activation or with a limit) stays as it is.
    """
    same: dict[tuple[Any, ...], bool] = {}
    for module in network.modules():
        kind = next((kind for kind in _KINDS if kind.resembles(module)), None)
        if kind is None or isinstance(module, kind):
            continue
        alike = (type(module), *_settings(module))
        if alike not in same:
            same[alike] = kind is FusedDropout or _computes_the_same(module, kind)
        if same[alike]:
            module.__class__ = _fused(type(module), kind)


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """By what else than its weights a module may differ from another of its class."""
    values = vars(module).items()
    return [(key, value) for key, value in values if isinstance(value, int | float | str | None)]


def _fused(stock: type[nn.Module], kind: type[nn.Module]) -> type[nn.Module]:
    return type(stock.__name__, (kind, stock), {"__module__": __name__})


def _computes_the_same(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Frozen, as most weights are, and with those trained that are to be."""
    weight = next(module.parameters(), None)
    if weight is None or not in_float32_on_cpu(weight):
        return False
    stock, was_training = type(module), module.training
    width = getattr(module, "in_features", getattr(module, "nx", weight.shape[-1]))
    x = torch.linspace(-2.0, 2.0, 3 * width).sin().reshape(1, 3, width)
    try:
        module.eval()
        with _no_zeros(module):
            theirs = _values_and_gradients(module, x)
            module.__class__ = _fused(stock, kind)
            ours = _values_and_gradients(module, x)
    finally:
        module.__class__ = stock
        module.train(was_training)
    return all(
        bool((a - b).abs().max() <= _TOLERANCE * b.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


@contextmanager
def _no_zeros(module: nn.Module) -> Iterator[None]:
    """Fill weights that are all zero, as those of fresh adapters are: nothing would show how they are used."""
    zeros = [p for p in module.parameters() if not p.any()]
    try:
        for parameter in zeros:
            wave = torch.linspace(-1.0, 1.0, parameter.numel()).cos()
            parameter.data.copy_(wave.reshape(parameter.shape))
        yield
    finally:
        for parameter in zeros:
            parameter.data.zero_()


def _values_and_gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    trained = [p for p in module.parameters() if p.requires_grad]
    found = [tensor for scale in (1.0, _LARGE) for tensor in _value_and_gradients(module, scale * x, trained)]
    try:
        module.requires_grad_(False)
        found += [tensor for scale in (1.0, _LARGE) for tensor in _value_and_gradients(module, scale * x, [])]
    finally:
        for parameter in trained:
            parameter.requires_grad_()
    return found


def _value_and_gradients(module: nn.Module, x: Tensor, trained: list[nn.Parameter]) -> list[Tensor]:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        y = module(x)
        # No sum of squares: that of a norm is always the same, and has no gradient to compare.
        weights = torch.linspace(1.0, 7.0, y.numel()).cos().reshape(y.shape)
        gradients = torch.autograd.grad((y * weights).sum(), [x, *trained])
    return [y.detach(), *gradients]
