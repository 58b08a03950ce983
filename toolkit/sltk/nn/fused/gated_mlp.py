"""Gated MLPs that keep two tensors for the backward pass instead of three, and none in prediction.

Shapes: H inputs and outputs, I the width between them, T rows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cpu_float32 import in_float32_on_cpu
from .linear_layer import FusedLinear, can_multiply, dtype_of
from .onednn import changeable, gated_product, operand, product, rounded

_ROWS = 1024
"""Rows that prediction computes at a time: their numbers between the products stay in the processor's cache."""


class FusedGatedMLP(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module
    product_dtype: torch.dtype = torch.float32
    """float32, or bfloat16 after `set_precision`."""

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        return all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn"))

    def forward(self, x: Tensor) -> Tensor:
        """[*, H] → [*, H]."""
        if not in_float32_on_cpu(x):
            return super().forward(x)  # type: ignore[no-any-return]
        if self._has_plain_layers(x):
            if not torch.is_grad_enabled():
                return self._predict(x)
            if not any(p.requires_grad for p in self.parameters()):
                return _Frozen.apply(x, self)  # type: ignore[no-any-return, no-untyped-call]
        return self.down_proj(_Gated.apply(self.gate_proj(x), self.up_proj(x)))  # type: ignore[no-any-return, no-untyped-call]

    def _has_plain_layers(self, x: Tensor) -> bool:
        """Whether the layers have no adapters and no hooks, and all multiply in one dtype."""
        layers = self._layers()
        are_plain = all(
            isinstance(layer, FusedLinear)
            and not (layer._forward_hooks or layer._forward_pre_hooks)
            and can_multiply(layer, x)
            for layer in layers
        )
        return are_plain and len({dtype_of(layer) for layer in layers}) == 1

    def _predict(self, x: Tensor) -> Tensor:
        """The result without a gradient: activation and factor are applied within the products."""
        gate, up, down = self._operands()
        biases = [each.bias for each in self._layers()]
        parts = []
        for rows in x.flatten(0, -2).split(_ROWS):  # type: ignore[no-untyped-call]
            inner = gated_product(rows.to(gate.dtype), gate, biases[0], up, biases[1])
            parts.append(product(inner, down, biases[2]).float())
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        return out.view(*x.shape[:-1], -1)

    def _operands(self) -> tuple[Tensor, Tensor, Tensor]:
        gate, up, down = (operand(layer, self.product_dtype) for layer in self._layers())
        return gate, up, down

    def _layers(self) -> tuple[Any, Any, Any]:
        return self.gate_proj, self.up_proj, self.down_proj


class _Frozen(torch.autograd.Function):
    """The whole MLP with frozen weights: between its products, numbers have the dtype of the products.

    The activated numbers are what the last product reads, so float32 between them would be rounded in any case.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mlp: Any) -> Tensor:
        gate_weight, up_weight, down_weight = mlp._operands()
        gate_bias, up_bias, down_bias = (layer.bias for layer in mlp._layers())
        x = rounded(x, gate_weight.dtype)
        gate, up = product(x, gate_weight, gate_bias), product(x, up_weight, up_bias)
        ctx.save_for_backward(gate, up)
        ctx.mlp = mlp
        return changeable(product(F.silu(gate).mul_(up), down_weight, down_bias).float())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gate, up = ctx.saved_tensors
        gate_weight, up_weight, down_weight = ctx.mlp._operands()
        inner = product(gradient.to(gate.dtype), down_weight.T)
        grad_up = F.silu(gate).mul_(inner)
        grad_gate = torch.ops.aten.silu_backward(inner.mul_(up), gate)
        return product(grad_up, up_weight.T, added=product(grad_gate, gate_weight.T)).float(), None


class _Gated(torch.autograd.Function):
    """silu(gate) · up. It keeps only its two arguments; plain torch also keeps silu(gate)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad_up = F.silu(gate).mul_(gradient)
        return torch.ops.aten.silu_backward(gradient * up, gate), grad_up
