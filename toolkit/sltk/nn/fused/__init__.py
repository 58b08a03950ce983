"""Fused CPU operations: fewer passes over memory, faster matrix products, the same results up to rounding.

A batch of short sentences packed end to end has a few hundred subwords. On a CPU, much of the time of a training step
is spent between the matrix products. There transformers, peft and torch run many small operations, each of which
reads and writes the whole batch and keeps tensors for the backward pass that are cheap to recompute. Here each such
sequence is one function with a hand-written gradient. `fuse` replaces modules only if a test shows that the results
are the same. Elsewhere the original modules compute; but on a GPU, rotary positions are one function too, and under
autocast also LoRA layers and norms (see `autocast_modules.py`). `set_precision` lets linear layers on a CPU multiply in
bfloat16 from float32 tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...types import Precision
from . import onednn
from .adapter import FusedAdapter
from .bfloat16 import forget
from .cpu_float32 import in_float32_on_cpu
from .dropout import FusedDropout
from .gated_mlp import FusedGatedMLP
from .linear_layer import PLAIN_LINEAR, FusedLinear
from .norm import FusedRMSNorm
from .quantized import multiplies_rounded
from .rotary import FusedRotaryAttention

_FUSED_CLASSES: tuple[Any, ...] = (
    FusedDropout, FusedLinear, FusedRMSNorm, FusedGatedMLP, FusedAdapter, FusedRotaryAttention,
)  # fmt: skip
_TOLERANCE = 1e-5
"""Largest difference, relative to the largest number."""
_ROUNDED_TOLERANCE = 0.03
"""The same for products in bfloat16, which has 8 significant bits."""
_LARGE = 100.0
"""Scale of the second test input, large enough to reveal limits on activations."""


def fuse(network: nn.Module) -> None:
    """Replace modules of a network by the fused classes, where this changes only the time.

    One module of each class with each setting is tested first, forwards and backwards, on small and on large numbers.
    Modules that compute something else (Gemma's norms, MLPs with another activation or with a limit) are not replaced,
    nor are modules that cannot be tested because an exception is raised.
    """
    verdicts: dict[tuple[Any, ...], bool] = {}
    for module in _parts_first(network):
        fused = next((each for each in _FUSED_CLASSES if each.resembles(module)), None)
        if fused is None or isinstance(module, fused):
            continue
        key = (type(module), *_settings(module))
        if key not in verdicts:
            verdicts[key] = _is_equal(module, fused)
        if verdicts[key]:
            module.__class__ = _fused_class(type(module), fused)


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Multiply in bfloat16 (`bf16`), or in float32 again (`fp32`), in the linear and LoRA layers of a fused network.

    Inputs, outputs, gradients and weights stay float32. Layers that fail the test of `fuse` at the precision of
    bfloat16 continue in float32. Call it after adapters have been merged; `network` is the backbone without its head.

    Raises:
        ValueError: the precision is none of these.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"unknown precision on a CPU: {precision!r}")
    if precision == "bf16":
        onednn.keep_few_kernels()
    verdicts: dict[tuple[Any, ...], bool] = {}
    for module in _parts_first(network):
        if type(module) in PLAIN_LINEAR and precision == "bf16":
            plain = ("plain", type(module), *_settings(module))
            if plain not in verdicts:
                verdicts[plain] = _computes_the_same(module, FusedLinear)
            if verdicts[plain]:
                module.__class__ = _fused_class(type(module), FusedLinear)
        if not isinstance(module, FusedLinear | FusedAdapter | FusedGatedMLP):
            continue
        for weight in module.parameters():
            forget(weight)
        module.product_dtype = torch.float32
        key = (type(module), *_settings(module))
        if precision == "bf16" and key not in verdicts:
            verdicts[key] = _computes_the_same(module, type(module), torch.bfloat16)
        if precision == "bf16" and verdicts[key]:
            module.product_dtype = torch.bfloat16


def _parts_first(network: nn.Module) -> list[nn.Module]:
    """All modules, each after its parts, so that it is tested with the parts that it will have."""
    return list(network.modules())[::-1]


def _is_equal(module: nn.Module, fused: type[nn.Module]) -> bool:
    """Whether the fused class computes what a module computes."""
    if issubclass(fused, FusedDropout):  # random: it draws other numbers from the same distribution
        return True
    if issubclass(fused, FusedRotaryAttention):  # only a function within it is replaced
        return fused.equals(module)
    return _computes_the_same(module, fused)


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """Everything except weights in which modules of one class may differ."""
    values = vars(module).items()
    return [(key, value) for key, value in values if isinstance(value, int | float | str | None)]


def _fused_class(stock: type[nn.Module], fused: type[nn.Module]) -> type[nn.Module]:
    """The class of both; one per pair, so that modules of one class keep one class."""
    if (stock, fused) not in _made:
        _made[stock, fused] = type(stock.__name__, (fused, stock), {"__module__": __name__})
    return _made[stock, fused]


_made: dict[tuple[type[nn.Module], type[nn.Module]], type[nn.Module]] = {}


def _computes_the_same(
    module: nn.Module, fused: type[nn.Module], product_dtype: torch.dtype = torch.float32
) -> bool:
    """Compare results and gradients with those of the stock module.

    They are compared with the weights that will be trained, and with all weights frozen.
    """
    if not any(True for _ in module.parameters()) or not all(map(_is_supported, module.parameters())):
        return False
    current, was_training = type(module), module.training
    stock: type[nn.Module] = current.__bases__[1] if issubclass(current, fused) else current
    is_rounded = product_dtype == torch.bfloat16 or any(map(multiplies_rounded, module.modules()))
    tolerance = _ROUNDED_TOLERANCE if is_rounded else _TOLERANCE
    width = _width(module)
    x = torch.linspace(-2.0, 2.0, 3 * width).sin().reshape(1, 3, width)
    try:
        module.eval()
        with _no_zeros(module):
            module.__class__ = stock
            expected = _values_and_gradients(module, x)
            module.__class__ = _fused_class(stock, fused) if current is stock else current
            module.product_dtype = product_dtype  # type: ignore[assignment]
            results = _values_and_gradients(module, x)
    except Exception:  # a module with a forward of its own: the stock one computes
        return False
    finally:
        module.__class__ = current
        vars(module).pop("product_dtype", None)
        module.train(was_training)
    return all(
        bool((a - b).abs().max() <= tolerance * b.abs().max()) for a, b in zip(results, expected, strict=True)
    )


def _is_supported(parameter: nn.Parameter) -> bool:
    """Whether a weight is on the CPU, and float32 or quantized."""
    return in_float32_on_cpu(parameter) or (
        parameter.device.type == "cpu" and not parameter.is_floating_point()
    )


def _width(module: nn.Module) -> int:
    """The number of inputs of a module."""
    for each in module.modules():
        for name in ("in_features", "nx"):
            if isinstance(size := getattr(each, name, None), int):
                return size
    return int(next(module.parameters()).shape[-1])


@contextmanager
def _no_zeros(module: nn.Module) -> Iterator[None]:
    """Fill weights that are all zero, as in fresh adapters, because their use would not show in the output."""
    zeros = [p for p in module.parameters() if p.is_floating_point() and not p.any()]
    try:
        for parameter in zeros:
            wave = torch.linspace(-1.0, 1.0, parameter.numel(), device=parameter.device).cos()
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
        weights = torch.linspace(1.0, 7.0, y.numel(), device=y.device).cos().reshape(y.shape)
        gradients = torch.autograd.grad((y * weights).sum(), [x, *trained])
    with torch.no_grad():  # some modules have another path without gradients
        predicted = module(x)
    return [y.detach(), predicted, *gradients]
