"""RMS norms with three passes over memory forwards, and four backwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cpu_float32 import in_float32_on_cpu


class FusedRMSNorm(nn.Module):
    """x · weight / √(mean of x² + epsilon), with the mean over the last dimension."""

    weight: Tensor
    variance_epsilon: float

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        return type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon")

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[*, H] → [*, H]."""
        if not in_float32_on_cpu(hidden_states, self.weight):
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        return _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)  # type: ignore[no-any-return, no-untyped-call]


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return (x * scale).mul_(weight)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, scale, weight = ctx.saved_tensors
        grad_weight = (x * scale).mul_(gradient).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        gradient = gradient * weight
        along = torch.linalg.vecdot(gradient, x, dim=-1).unsqueeze(-1)
        along.mul_(scale.pow(3)).div_(-x.shape[-1])
        return gradient.mul_(scale).addcmul_(x, along), grad_weight, None
