"""Fused CPU operations: fewer passes over memory, faster matrix products, the same results up to rounding.

A batch of short sentences packed end to end has a few hundred subwords. On a CPU, much of the time of a training step
is spent between the matrix products. There transformers, peft and torch run many small operations, each of which
reads and writes the whole batch and keeps tensors for the backward pass that are cheap to recompute. Here each such
sequence is one function with a hand-written gradient. `fuse` replaces modules only if a test shows that the results
are the same. On a GPU and in half precision, the original modules compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...types import Precision
from .adapter import FusedAdapter
from .cpu_float32 import in_float32_on_cpu
from .dropout import FusedDropout
from .gated_mlp import FusedGatedMLP
from .norm import FusedRMSNorm
from .onednn import FusedLinear

_FUSED_CLASSES: tuple[Any, ...] = (FusedDropout, FusedLinear, FusedRMSNorm, FusedGatedMLP, FusedAdapter)
_TOLERANCE = 1e-5
"""Largest difference, relative to the largest number."""
_LARGE = 100.0
"""Scale of the second test input, large enough to reveal limits on activations."""


def fuse(network: nn.Module) -> None:
    """Replace modules of a network by the fused classes, where this changes only the time.

    One module of each class with each setting is tested first, forwards and backwards, on small and on large numbers.
    Modules that compute something else (Gemma's norms, MLPs with another activation or with a limit) are not replaced.
    """
    verdicts: dict[tuple[Any, ...], bool] = {}
    for module in network.modules():
        fused = next((each for each in _FUSED_CLASSES if each.resembles(module)), None)
        if fused is None or isinstance(module, fused):
            continue
        key = (type(module), *_settings(module))
        if key not in verdicts:
            verdicts[key] = fused is FusedDropout or _computes_the_same(module, fused)
        if verdicts[key]:
            module.__class__ = _fused_class(type(module), fused)


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Select the number format of the products of the fused modules of a network on a CPU.

    Raises:
        NotImplementedError: `precision` is not `fp32`.
    """
    if precision != "fp32":
        raise NotImplementedError(f"products in {precision} on a CPU")


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """Everything except weights in which modules of one class may differ."""
    values = vars(module).items()
    return [(key, value) for key, value in values if isinstance(value, int | float | str | None)]


def _fused_class(stock: type[nn.Module], fused: type[nn.Module]) -> type[nn.Module]:
    return type(stock.__name__, (fused, stock), {"__module__": __name__})


def _computes_the_same(module: nn.Module, fused: type[nn.Module]) -> bool:
    """Compare results and gradients, both with the weights that will be trained and with all weights frozen."""
    weight = next(module.parameters(), None)
    if weight is None or not in_float32_on_cpu(weight):
        return False
    stock, was_training = type(module), module.training
    width = getattr(module, "in_features", getattr(module, "nx", weight.shape[-1]))
    x = torch.linspace(-2.0, 2.0, 3 * width).sin().reshape(1, 3, width)
    try:
        module.eval()
        with _no_zeros(module):
            expected = _values_and_gradients(module, x)
            module.__class__ = _fused_class(stock, fused)
            results = _values_and_gradients(module, x)
    except Exception:  # a module with a forward of its own: the stock one computes
        return False
    finally:
        module.__class__ = stock
        module.train(was_training)
    return all(
        bool((a - b).abs().max() <= _TOLERANCE * b.abs().max())
        for a, b in zip(results, expected, strict=True)
    )


@contextmanager
def _no_zeros(module: nn.Module) -> Iterator[None]:
    """Fill weights that are all zero, as in fresh adapters, because their use would not show in the output."""
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
    results = [
        tensor for scale in (1.0, _LARGE) for tensor in _value_and_gradients(module, scale * x, trained)
    ]
    try:
        module.requires_grad_(False)
        results += [
            tensor for scale in (1.0, _LARGE) for tensor in _value_and_gradients(module, scale * x, [])
        ]
    finally:
        for parameter in trained:
            parameter.requires_grad_()
    return results


def _value_and_gradients(module: nn.Module, x: Tensor, trained: list[nn.Parameter]) -> list[Tensor]:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        y = module(x)
        # Not a sum of squares: it is constant for the output of a norm, so it has no gradient to compare.
        weights = torch.linspace(1.0, 7.0, y.numel()).cos().reshape(y.shape)
        gradients = torch.autograd.grad((y * weights).sum(), [x, *trained])
    return [y.detach(), *gradients]
