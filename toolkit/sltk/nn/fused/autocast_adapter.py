"""Linear and LoRA layers under autocast, with fewer conversions than those of torch and peft.

peft converts the input of an adapter to float32, where autocast converts it back, and copies what a 4-bit layer
returns. Here the adapter multiplies in half precision from its float32 weights, and projections that read the same
float32 input (queries, keys and values; gate and up) share one conversion of it.

Shapes: T tokens, I inputs, O outputs, R the rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .adapter import only_adapter
from .onednn import changeable


def autocast_to(x: Tensor) -> torch.dtype | None:
    """The dtype that autocast multiplies in on the device of x; None if it is off."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def converted(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in `dtype`; layers that read the same x get the same result, which lives as long as x."""
    if x.dtype == dtype or x.dtype == torch.float64:  # autocast leaves float64 alone
        return x
    if x.is_leaf and x.requires_grad:  # x would live as long as its own gradient function
        return x.to(dtype)
    version = 0 if x.is_inference() else x._version  # x may be changed in place between two layers
    needs_gradient = x.requires_grad and torch.is_grad_enabled()
    key = (dtype, version, needs_gradient)
    known = getattr(x, "sltk_converted", None)
    if known is None or known[0] != key:
        known = key, x.to(dtype)
        x.sltk_converted = known  # type: ignore[attr-defined]
    result: Tensor = known[1]
    return result


class AutocastLinear(nn.Module):
    """Replaces `nn.Linear`: its input is converted once for all layers that read it."""

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class can replace `module`."""
        return type(module) is nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """[*, I] → [*, O]."""
        dtype = autocast_to(x)
        return super().forward(x if dtype is None else converted(x, dtype))  # type: ignore[misc, no-any-return]


class AutocastAdapter(nn.Module):
    """base(x) + scale · up(down(dropout(x))), if exactly one plain adapter is active; otherwise peft computes."""

    base_layer: Any
    lora_A: Any  # noqa: N815
    lora_B: Any  # noqa: N815
    lora_dropout: Any
    scaling: dict[str, float]

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        # Compared by name, so that prediction without adapters does not import peft.
        return any(f"{each.__module__}.{each.__name__}" in _ADAPTED for each in type(module).__mro__)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[*, I] → [*, O]."""
        name, dtype = only_adapter(self), autocast_to(x)
        if args or kwargs or name is None or dtype is None or x.dtype == torch.float64:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc, no-any-return]
        x = converted(x, dtype)
        result: Tensor = self.base_layer(x)
        dropped = self.lora_dropout[name](x)
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        return _Adapted.apply(dropped, result.to(dtype), down, up, self.scaling[name])  # type: ignore[no-any-return, no-untyped-call]


_ADAPTED = {
    "peft.tuners.lora.layer.Linear",
    "peft.tuners.lora.bnb.Linear4bit",
    "peft.tuners.lora.bnb.Linear8bitLt",
}


class _Adapted(torch.autograd.Function):
    """result + scale · up(down(x)), with products in the dtype of x, and float32 gradients of float32 weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, result: Tensor, down_RI: Tensor, up_OR: Tensor, scale: float) -> Tensor:
        x_TI, result_TO = x.flatten(0, -2), result.flatten(0, -2)
        down, up = down_RI.to(x.dtype), up_OR.to(x.dtype)
        low_TR = torch.mm(x_TI, down.T)
        ctx.save_for_backward(x_TI, low_TR, down, up)
        ctx.scale, ctx.weight_dtype = scale, down_RI.dtype
        return changeable(torch.addmm(result_TO, low_TR, up.T, alpha=scale).view(result.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, low_TR, down, up = ctx.saved_tensors
        needs_x, needs_result, needs_down, needs_up, _ = ctx.needs_input_grad
        gradient_TO = gradient.flatten(0, -2)
        grad_low = _scaled_product(gradient_TO, up, ctx.scale)
        grad_x = torch.mm(grad_low, down).view(*gradient.shape[:-1], -1) if needs_x else None
        grad_down = torch.mm(grad_low.T, x_TI).to(ctx.weight_dtype) if needs_down else None
        grad_up = _scaled_product(gradient_TO.T, low_TR, ctx.scale).to(ctx.weight_dtype) if needs_up else None
        return grad_x, gradient if needs_result else None, grad_down, grad_up, None


def _scaled_product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """scale · a · b as one operation; the sum that torch would add is not read if its factor is zero."""
    return torch.addmm(a.new_empty(1, 1), a, b, beta=0, alpha=scale)
