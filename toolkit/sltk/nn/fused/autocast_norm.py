"""RMS norms under autocast as one operation of torch, instead of the six to eight that families write out.

A GPU runs torch's operation as one kernel in each direction. It rounds once, after the multiplication by the weight;
families round before it too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norm import FusedRMSNorm


class AutocastRMSNorm(nn.Module):
    """x · weight / √(mean of x² + epsilon), with the mean over the last dimension."""

    weight: Tensor
    variance_epsilon: float

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether this class may be able to replace `module`."""
        return FusedRMSNorm.resembles(module) and getattr(module, "weight", None) is not None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[*, H] → [*, H]."""
        kind = x.device.type
        # Numbers of two dtypes take several kernels.
        if args or kwargs or x.dtype != self.weight.dtype or not torch.is_autocast_enabled(kind):
            return super().forward(x, *args, **kwargs)  # type: ignore[misc, no-any-return]
        with torch.autocast(kind, enabled=False):
            return F.rms_norm(x, self.weight.shape, self.weight, self.variance_epsilon)
