"""When fused modules compute: on a CPU and in float32. Otherwise the class that they replace computes."""

import torch
from torch import Tensor


def in_float32_on_cpu(*tensors: Tensor) -> bool:
    """Whether all tensors are float32, on the CPU and not empty, and autocast is off."""
    return not torch.is_autocast_enabled("cpu") and all(
        x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0 for x in tensors
    )
