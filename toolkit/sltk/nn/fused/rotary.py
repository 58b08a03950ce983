"""Rotary positions with fewer passes over memory, in attention modules whose `forward` calls transformers' function.

transformers calls its own function from inside the `forward` of each family. A module that is replaced here runs the
same `forward` with another function of that name; no function of transformers is changed.

Shapes: T tokens, H query heads, K key heads, D head size.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cpu_float32 import in_float32_on_cpu

_NAME = "apply_rotary_pos_emb"
_TOLERANCE = 1e-5

Rotation = Callable[..., tuple[Tensor, Tensor]]


class FusedRotaryAttention(nn.Module):
    """An attention module that rotates halves of queries and keys, as Llama does."""

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        forward = type(module).forward
        is_plain = inspect.isfunction(forward) and not hasattr(forward, "__wrapped__")
        return is_plain and _NAME in forward.__code__.co_names and _NAME in forward.__globals__

    @staticmethod
    def equals(module: nn.Module) -> bool:
        """Whether the rotation of the module's family is the one that is computed here."""
        stock: Rotation = type(module).forward.__globals__[_NAME]  # type: ignore[attr-defined]
        wave = torch.linspace(-3.0, 3.0, 7 * 5 * 8).sin().view(1, 5, 7, 8)
        cos, sin = wave[:, :, 5].contiguous(), wave[:, :, 6].contiguous()
        results = []
        for rotate in (stock, _rotation(stock)):
            query, key = wave[:, :, :3].clone().transpose(1, 2), wave[:, :, 3:5].clone().transpose(1, 2)
            try:
                rotated = rotate(query.requires_grad_(), key.requires_grad_(), cos, sin)
            except Exception:  # a function with other arguments
                return False
            total = sum((part * part.detach().cos()).sum() for part in rotated)
            results.append([*rotated, *torch.autograd.grad(total, (query, key))])  # type: ignore[arg-type]
        return all(torch.allclose(a, b, rtol=0, atol=_TOLERANCE) for a, b in zip(*results, strict=True))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the stock `forward` with the rotation of this module."""
        return _with_rotation(super().forward.__func__)(self, *args, **kwargs)  # type: ignore[attr-defined]


@functools.cache
def _with_rotation(forward: FunctionType) -> FunctionType:
    names = forward.__globals__ | {_NAME: _rotation(forward.__globals__[_NAME])}
    changed = FunctionType(
        forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__
    )
    changed.__kwdefaults__ = forward.__kwdefaults__
    return changed


def _rotation(stock: Rotation) -> Rotation:
    """A function like `stock`, which computes calls that the fused one does not support."""

    def rotate(
        query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        is_whole = cos.dim() == 3 and cos.shape[-1] == query.shape[-1] == key.shape[-1] == sin.shape[-1]
        is_constant = not (cos.requires_grad or sin.requires_grad)
        if args or kwargs or not (is_whole and is_constant and _supports(query, key, cos, sin)):
            return stock(query, key, cos, sin, *args, **kwargs)
        return _Rotate.apply(query, key, cos, sin)  # type: ignore[no-any-return, no-untyped-call]

    return rotate


def _supports(*tensors: Tensor) -> bool:
    """On a GPU, in any dtype that all have: fewer passes over memory are fewer operations there."""
    on_gpu = all(x.is_cuda and x.dtype == tensors[0].dtype and x.numel() > 0 for x in tensors)
    return on_gpu or in_float32_on_cpu(*tensors)


class _Rotate(torch.autograd.Function):
    """query [1, H, T, D], key [1, K, T, D], cos and sin [1, T, D]; the gradient is rotated back."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        ctx.save_for_backward(cos, sin)
        first, second = sin.chunk(2, -1)
        return _rotated(query, cos, first, second, -1), _rotated(key, cos, first, second, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, query: Tensor, key: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        first, second = sin.chunk(2, -1)
        return _rotated(query, cos, second, first, 1), _rotated(key, cos, second, first, 1), None, None


def _rotated(x: Tensor, cos: Tensor, of_second: Tensor, of_first: Tensor, sign: int) -> Tensor:
    """x · cos, plus the other half of x times `sign` · `of_second`, or -`sign` · `of_first` in the second half."""
    left, right = x.chunk(2, -1)
    out = x * cos
    into_left, into_right = out.chunk(2, -1)
    into_left.addcmul_(right, of_second, value=sign)
    into_right.addcmul_(left, of_first, value=-sign)
    return out
