"""Dropout that draws 16 bits per element, four elements from each 64-bit random number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cpu_float32 import in_float32_on_cpu

_LEVELS = 1 << 16


class FusedDropout(nn.Module):
    """Keep elements with a probability of 1 - p, rounded to 1 / 65,536, and divide them by it."""

    p: float

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class can replace `module`."""
        return type(module) is nn.Dropout

    def forward(self, x: Tensor) -> Tensor:
        """[*] → [*]."""
        if not self.training or self.p == 0 or not in_float32_on_cpu(x):
            return super().forward(x)  # type: ignore[no-any-return]
        return x * dropout_factors(x, self.p)


def dropout_factors(x: Tensor, p: float) -> Tensor:
    """The factor of each element of x: 0 with a probability of p, otherwise 1 / (1 - p)."""
    if p >= 1:
        return torch.zeros_like(x)
    dropped = min(max(round(p * _LEVELS), 1), _LEVELS - 1)
    count = x.numel()
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    # Compared as floats, because torch takes four times as long to convert booleans to floats.
    factors = bits[:count].to(x.dtype).ge_(dropped - _LEVELS // 2)
    return factors.mul_(_LEVELS / (_LEVELS - dropped)).view(x.shape)
