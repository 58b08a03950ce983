"""peft's LoRA layers as one function, without extra passes over memory for scale, sum and gradient of the dropout.

Shapes: I inputs, O outputs, R the rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .bfloat16 import forget
from .cpu_float32 import in_float32_on_cpu
from .dropout import dropout_factors
from .linear_layer import can_multiply
from .onednn import changeable, is_linear, operand, product, rounded, weight_gradient


class FusedAdapter(nn.Module):
    """base(x) + scale · up(down(dropout(x))), if exactly one plain adapter is active; otherwise peft computes."""

    base_layer: Any
    lora_A: Any  # noqa: N815
    lora_B: Any  # noqa: N815
    lora_dropout: Any
    scaling: dict[str, float]

    product_dtype: torch.dtype = torch.float32
    """float32, or bfloat16 after `set_precision`; a 4-bit base layer has its own."""

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        # Compared by name, so that prediction without adapters does not import peft.
        is_adapted = f"{type(module).__module__}.{type(module).__name__}" in _ADAPTED
        return is_adapted and is_linear(module.base_layer)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[*, I] → [*, O]."""
        name, base = only_adapter(self), self.base_layer
        is_plain = not args and not kwargs and can_multiply(base, x)
        if name is None or not is_plain or not in_float32_on_cpu(self.lora_A[name].weight):
            return super().forward(x, *args, **kwargs)  # type: ignore[no-any-return]
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        dropout = self.lora_dropout[name]
        is_on = isinstance(dropout, nn.Dropout) and dropout.training and dropout.p > 0
        factor = dropout_factors(x, dropout.p) if is_on else None
        return _Adapted.apply(x, factor, base.bias, down, up, self.scaling[name], self)  # type: ignore[no-any-return, no-untyped-call]

    def merge(self, *args: Any, **kwargs: Any) -> None:
        """Merge as peft does, which changes `weight.data`."""
        super().merge(*args, **kwargs)  # type: ignore[misc]
        forget(self.base_layer.weight)

    def unmerge(self) -> None:
        """Undo `merge`."""
        super().unmerge()  # type: ignore[misc]
        forget(self.base_layer.weight)


def only_adapter(layer: Any) -> str | None:
    """Name of the active adapter, if it is the only one, is of the plain kind, and the base layer is frozen."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    is_plain = name in layer.lora_A and name not in layer.lora_variant and layer.lora_B[name].bias is None
    is_frozen = not any(p.requires_grad for p in layer.base_layer.parameters())
    return name if is_plain and is_frozen else None


_ADAPTED = ("peft.tuners.lora.layer.Linear", "peft.tuners.lora.bnb.Linear4bit")


class _Adapted(torch.autograd.Function):
    """Products of the base layer in its dtype, those of the adapter in that of `layer`, both from float32 tensors."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        factor: Tensor | None,
        bias: Tensor | None,
        down_RI: Tensor,
        up_OR: Tensor,
        scale: float,
        layer: Any,
    ) -> Tensor:
        dtype = layer.product_dtype
        weight = operand(layer.base_layer, dtype)
        base = product(rounded(x, weight.dtype), weight, bias).to(dtype)
        dropped = rounded(x, dtype) if factor is None else (x * factor).to(dtype)
        low = product(dropped, down_RI.to(dtype))
        ctx.save_for_backward(dropped, factor, down_RI, up_OR, low)
        ctx.scale, ctx.layer = scale, layer
        return changeable(product(low, (up_OR * scale).to(dtype), added=base).float())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        dropped, factor, down_RI, up_OR, low = ctx.saved_tensors
        dtype, scale = dropped.dtype, ctx.scale
        high = gradient.to(dtype)
        grad_low = product(high, (up_OR * scale).to(dtype).T)
        grad_down = weight_gradient(grad_low, dropped).float()
        grad_up = weight_gradient(high, low).float().mul_(scale)
        grad_x = None
        if ctx.needs_input_grad[0]:
            weight = operand(ctx.layer.base_layer, dtype)
            of_base = product(gradient.to(weight.dtype), weight.T)
            if factor is None:
                grad_x = product(grad_low, down_RI.to(dtype).T, added=of_base.to(dtype)).float()
            else:
                of_adapter = product(grad_low, down_RI.to(dtype).T).float()
                grad_x = of_base.float().addcmul_(of_adapter, factor)
        return grad_x, None, None, grad_down, grad_up, None, None
