"""Small operations in fewer passes over memory: RMS norms, gated MLPs, dropout. The same numbers, to rounding.

A batch of short sentences packed end to end is a few hundred subwords. A fifth of its step on a CPU is not matrix
products but what lies between them, and transformers and torch write it out operation by operation, each reading
and writing the whole batch, and keeping for the backward pass what could be had again for less. Here each is one
function with a gradient written by hand. `fuse` puts them in the place of modules that are shown to compute the
same; on a GPU and in half precision the modules compute as before.

Shapes: [*, H] for norms, any for the rest.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_TOLERANCE = 1e-5
"""Of the largest number."""
_LARGE = 100.0
"""Where a limit on what goes through a module shows."""
_LEVELS = 1 << 16
"""Dropout draws 16 bits an element, four elements from one 64-bit random number."""


def fuse(network: nn.Module) -> None:
    """Have the modules of a network compute with the functions below, where that changes nothing but the time.

    One module of each class and each setting is tried first, forwards and backwards, on small numbers and on large
    ones; what computes something else (Gemma's norms, MLPs with another activation or with a limit) stays as it is.
    """
    same: dict[tuple[Any, ...], bool] = {}
    for module in network.modules():
        mixin = _mixin(module)
        if mixin is None:
            continue
        kind = type(module)
        alike = (kind, *_settings(module))
        if alike not in same:
            same[alike] = mixin is _Dropout or _computes_the_same(module, mixin)
        if same[alike]:
            module.__class__ = _fused(kind, mixin)


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """By what else than its weights a module may differ from another of its class."""
    values = vars(module).items()
    return [(key, value) for key, value in values if isinstance(value, int | float | str | None)]


def _fused(kind: type[nn.Module], mixin: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (mixin, kind), {})


def _mixin(module: nn.Module) -> type[nn.Module] | None:
    """What could stand in for a module, by its looks."""
    if isinstance(module, _RMSNorm | _GatedMLP | _Dropout):
        return None
    if type(module) is nn.Dropout:
        return _Dropout
    if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return _RMSNorm
    if all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return _GatedMLP
    return None


def _computes_the_same(module: nn.Module, mixin: type[nn.Module]) -> bool:
    weight = next(module.parameters(), None)
    if weight is None or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    width = weight.shape[-1]
    x = torch.linspace(-2.0, 2.0, 3 * width).sin().reshape(1, 3, width)
    frozen = {p: p.requires_grad for p in module.parameters()}
    was_training, kind = module.training, type(module)
    try:
        module.requires_grad_(False).eval()
        theirs = [*_value_and_gradient(module, x), *_value_and_gradient(module, _LARGE * x)]
        module.__class__ = _fused(kind, mixin)
        ours = [*_value_and_gradient(module, x), *_value_and_gradient(module, _LARGE * x)]
    finally:
        module.__class__ = kind
        module.train(was_training)
        for parameter, wanted in frozen.items():
            parameter.requires_grad_(wanted)
    return all(
        bool((a - b).abs().max() <= _TOLERANCE * b.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


def _value_and_gradient(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        y = module(x)
        # No sum of squares: that of a norm is always the same, and has no gradient to compare.
        weights = torch.linspace(1.0, 7.0, y.numel()).cos().reshape(y.shape)
        (gradient,) = torch.autograd.grad((y * weights).sum(), x)
    return y.detach(), gradient


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32


class _RMSNorm(nn.Module):
    weight: Tensor
    variance_epsilon: float

    def forward(self, hidden_states: Tensor) -> Tensor:
        if not _on_cpu(hidden_states) or (self.weight.requires_grad and torch.is_grad_enabled()):
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        return _rms_norm(hidden_states, self.weight, self.variance_epsilon)


class _GatedMLP(nn.Module):
    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        if not _on_cpu(x):
            return super().forward(x)  # type: ignore[no-any-return]
        return self.down_proj(_gated(self.gate_proj(x), self.up_proj(x)))  # type: ignore[no-any-return]


class _Dropout(nn.Module):
    p: float

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not 0 < self.p < 1 or not _on_cpu(x):
            return super().forward(x)  # type: ignore[no-any-return]
        return _dropped(x, self.p)


class _RMSNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return (x * scale).mul_(weight)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, scale, weight = ctx.saved_tensors
        gradient = gradient * weight
        along = torch.linalg.vecdot(gradient, x, dim=-1).unsqueeze(-1)
        along.mul_(scale.pow(3)).div_(-x.shape[-1])
        return gradient.mul_(scale).addcmul_(x, along), None, None


class _Gated(torch.autograd.Function):
    """silu(gate) · up. Keeps its two arguments; plain torch keeps silu(gate) beside them."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        of_up = F.silu(gate).mul_(gradient)
        return torch.ops.aten.silu_backward(gradient * up, gate), of_up


class _Dropped(torch.autograd.Function):
    """Elements are kept with a probability of 1 - p, to 1 / 65,536, and divided by it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        dropped = min(max(round(p * _LEVELS), 1), _LEVELS - 1)
        count = x.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = (bits[:count] >= dropped - _LEVELS // 2).view(x.shape)
        factor = kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))
        ctx.save_for_backward(factor)
        return x * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradient * factor, None


def _rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return _RMSNormFunction.apply(x, weight, epsilon)  # type: ignore[no-any-return, no-untyped-call]


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    return _Gated.apply(gate, up)  # type: ignore[no-any-return, no-untyped-call]


def _dropped(x: Tensor, p: float) -> Tensor:
    return _Dropped.apply(x, p)  # type: ignore[no-any-return, no-untyped-call]
