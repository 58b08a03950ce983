"""peft's LoRA layers as one function, without extra passes over memory for scale, sum and gradient of the dropout.

Shapes: I inputs, O outputs, R the rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cpu_float32 import in_float32_on_cpu
from .dropout import dropout_factors
from .onednn import is_linear, product, weight_gradient, weight_of


class FusedAdapter(nn.Module):
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
        is_adapted = f"{type(module).__module__}.{type(module).__name__}" == "peft.tuners.lora.layer.Linear"
        return is_adapted and is_linear(module.base_layer)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[*, I] → [*, O]."""
        name, base = self._only_adapter(), self.base_layer
        if args or kwargs or name is None or not in_float32_on_cpu(x, base.weight, self.lora_A[name].weight):
            return super().forward(x, *args, **kwargs)  # type: ignore[no-any-return]
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        dropout = self.lora_dropout[name]
        is_on = isinstance(dropout, nn.Dropout) and dropout.training and dropout.p > 0
        factor = dropout_factors(x, dropout.p) if is_on else None
        return _Adapted.apply(x, factor, weight_of(base), base.bias, down, up, self.scaling[name])  # type: ignore[no-any-return, no-untyped-call]

    def _only_adapter(self) -> str | None:
        """Name of the active adapter, if it is the only one, is of the plain kind, and the base layer is frozen."""
        layer: Any = self
        if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
            return None
        (name,) = layer.active_adapters
        is_plain = name in self.lora_A and name not in layer.lora_variant and self.lora_B[name].bias is None
        is_frozen = not any(p.requires_grad for p in self.base_layer.parameters())
        return name if is_plain and is_frozen else None


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        factor: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        down_RI: Tensor,
        up_OR: Tensor,
        scale: float,
    ) -> Tensor:
        dropped = x if factor is None else x * factor
        low = product(dropped, down_RI)
        ctx.save_for_backward(dropped, factor, weight, down_RI, up_OR, low)
        ctx.scale = scale
        return product(low, up_OR * scale, added=product(x, weight, bias))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        dropped, factor, weight, down_RI, up_OR, low = ctx.saved_tensors
        grad_low = product(gradient, up_OR.T).mul_(ctx.scale)
        grad_down, grad_up = (
            weight_gradient(grad_low, dropped),
            weight_gradient(gradient, low).mul_(ctx.scale),
        )
        grad_x = None
        if ctx.needs_input_grad[0] and factor is None:
            grad_x = product(grad_low, down_RI.T, added=product(gradient, weight.T))
        elif ctx.needs_input_grad[0]:
            grad_x = product(gradient, weight.T).addcmul_(product(grad_low, down_RI.T), factor)
        return grad_x, None, None, None, grad_down, grad_up, None
