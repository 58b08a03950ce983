"""Where fused modules compute: on a CPU, in float32. Elsewhere they leave it to the class that they stand for."""

import torch
from torch import Tensor


def in_float32_on_cpu(*tensors: Tensor) -> bool:
    """Whether all of them are that, with something in them, and torch is not to compute in half precision."""
    return not torch.is_autocast_enabled("cpu") and all(
        x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0 for x in tensors
    )
