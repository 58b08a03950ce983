"""Gated MLPs that keep two tensors for the backward pass instead of three."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cpu_float32 import in_float32_on_cpu


class FusedGatedMLP(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        return all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn"))

    def forward(self, x: Tensor) -> Tensor:
        """[*, H] → [*, H]."""
        if not in_float32_on_cpu(x):
            return super().forward(x)  # type: ignore[no-any-return]
        return self.down_proj(_Gated.apply(self.gate_proj(x), self.up_proj(x)))  # type: ignore[no-any-return, no-untyped-call]


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
