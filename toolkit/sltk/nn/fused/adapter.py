"""peft's LoRA layers as one function: no pass over memory for the scale, the sum and the dropout's gradient.

Shapes: I numbers in, O numbers out, R the rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cpu_float32 import in_float32_on_cpu
from .dropout import factors
from .onednn import is_linear, of_weight, product, weight_of


class FusedAdapter(nn.Module):
    """base(x) + scale · up(down(dropout(x))), where one plain adapter is active. Whatever else peft can is peft's."""

    base_layer: Any
    lora_A: Any  # noqa: N815
    lora_B: Any  # noqa: N815
    lora_dropout: Any
    scaling: dict[str, float]

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether it might compute what a module computes."""
        # By its name: prediction, which has no adapters, does not import peft.
        is_adapted = f"{type(module).__module__}.{type(module).__name__}" == "peft.tuners.lora.layer.Linear"
        return is_adapted and is_linear(module.base_layer)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *args: Any, **more: Any) -> Tensor:
        """[*, I] → [*, O]."""
        name, base = self._only_adapter(), self.base_layer
        if args or more or name is None or not in_float32_on_cpu(x, base.weight, self.lora_A[name].weight):
            return super().forward(x, *args, **more)  # type: ignore[no-any-return]
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        factor = self._dropout(name, x)
        return _Adapted.apply(x, factor, weight_of(base), base.bias, down, up, self.scaling[name])  # type: ignore[no-any-return, no-untyped-call]

    def _dropout(self, name: str, x: Tensor) -> Tensor | None:
        dropout = self.lora_dropout[name]
        is_on = isinstance(dropout, nn.Dropout) and dropout.training and dropout.p > 0
        return factors(x, dropout.p) if is_on else None

    def _only_adapter(self) -> str | None:
        """The adapter that is to be added, if it is one alone, of the plain kind, with nothing trained beside it."""
        own: Any = self
        if own.disable_adapters or own.merged or len(own.active_adapters) != 1:
            return None
        (name,) = own.active_adapters
        is_plain = name in self.lora_A and name not in own.lora_variant and self.lora_B[name].bias is None
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
        of_low = product(gradient, up_OR.T).mul_(ctx.scale)
        of_down, of_up = of_weight(of_low, dropped), of_weight(gradient, low).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0] and factor is None:
            of_x = product(of_low, down_RI.T, added=product(gradient, weight.T))
        elif ctx.needs_input_grad[0]:
            of_x = product(gradient, weight.T).addcmul_(product(of_low, down_RI.T), factor)
        return of_x, None, None, None, of_down, of_up, None
