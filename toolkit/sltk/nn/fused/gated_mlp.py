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
from .linear_layer import FusedLinear, can_multiply
from .onednn import gated_product, operand, product

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
        if not torch.is_grad_enabled() and self._has_plain_layers(x):
            return self._predict(x)
        return self.down_proj(_Gated.apply(self.gate_proj(x), self.up_proj(x)))  # type: ignore[no-any-return, no-untyped-call]

    def _has_plain_layers(self, x: Tensor) -> bool:
        """Whether the layers have no adapters and no hooks, and multiply in the dtype of this module."""
        return all(
            isinstance(layer, FusedLinear)
            and layer.product_dtype == self.product_dtype
            and not (layer._forward_hooks or layer._forward_pre_hooks)
            and can_multiply(layer, x)
            for layer in self._layers()
        )

    def _predict(self, x: Tensor) -> Tensor:
        """The result without a gradient: activation and factor are applied within the products."""
        gate, up, down = (operand(each, self.product_dtype) for each in self._layers())
        biases = [each.bias for each in self._layers()]
        parts = []
        for rows in x.flatten(0, -2).split(_ROWS):  # type: ignore[no-untyped-call]
            inner = gated_product(rows.to(gate.dtype), gate, biases[0], up, biases[1])
            parts.append(product(inner, down, biases[2]).float())
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        return out.view(*x.shape[:-1], -1)

    def _layers(self) -> tuple[Any, Any, Any]:
        return self.gate_proj, self.up_proj, self.down_proj


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
