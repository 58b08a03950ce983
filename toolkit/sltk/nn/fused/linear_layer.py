"""Linear layers on a CPU: float32 inputs and outputs, products in float32 or in bfloat16.

Shapes: I inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from . import onednn
from .cpu_float32 import in_float32_on_cpu
from .onednn import changeable, operand, product, rounded, weight_gradient
from .quantized import can_dequantize, is_quantized

PLAIN_LINEAR = (nn.Linear, Conv1D)


class FusedLinear(nn.Module):
    """Replaces `nn.Linear`, GPT-2's linear layer, and the 4-bit layers of bitsandbytes."""

    weight: Tensor
    bias: Tensor | None
    product_dtype: torch.dtype = torch.float32
    """float32, or bfloat16 after `set_precision`."""

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        return is_quantized(module) or (type(module) in PLAIN_LINEAR and onednn.is_faster())

    def forward(self, x: Tensor) -> Tensor:
        """[*, I] → [*, O]."""
        if not can_multiply(self, x):
            return super().forward(x)  # type: ignore[no-any-return]
        if not torch.is_grad_enabled():
            weight = operand(self, self.product_dtype)
            return product(rounded(x, weight.dtype), weight, self.bias).float()
        trained = self.weight if self.weight.requires_grad else None
        return _Linear.apply(x, trained, self.bias, self)  # type: ignore[no-any-return, no-untyped-call]


def can_multiply(layer: Any, x: Tensor) -> bool:
    """Whether the fused classes can multiply x by the weight of a linear layer."""
    if is_quantized(layer):
        return in_float32_on_cpu(x) and can_dequantize(layer)
    return in_float32_on_cpu(x, layer.weight)


def dtype_of(layer: Any) -> torch.dtype:
    """The dtype of the products of a linear layer."""
    dtype: torch.dtype = layer.compute_dtype or torch.float32 if is_quantized(layer) else layer.product_dtype
    return dtype


class _Linear(torch.autograd.Function):
    """x [*, I] · weight [O, I]ᵀ + bias [O] → [*, O], with its gradient.

    `trained` is the layer's own weight if it has a gradient. Otherwise the weight is asked for again in the backward
    pass, so that dequantized weights are not kept.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, trained: Tensor | None, bias: Tensor | None, layer: Any) -> Tensor:
        weight = operand(layer, layer.product_dtype)
        x = rounded(x, weight.dtype)
        ctx.save_for_backward(x if trained is not None else None)
        ctx.layer = layer
        return changeable(product(x, weight, bias).float())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
        weight = operand(ctx.layer, ctx.layer.product_dtype)
        rounded_gradient = gradient.to(weight.dtype)
        grad_weight = None
        if needs_weight:
            grad_weight = weight_gradient(rounded_gradient, x).float()
            grad_weight = grad_weight.T if isinstance(ctx.layer, Conv1D) else grad_weight
        return (
            product(rounded_gradient, weight.T).float() if needs_x else None,
            grad_weight,
            gradient.flatten(0, -2).sum(0) if needs_bias else None,
            None,
        )
