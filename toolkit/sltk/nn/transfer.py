"""Moving a batch to a device without waiting for it.

Reading a tensor of a GPU makes the program wait until everything before it has been computed, and then the GPU waits
for the program. So what depends on labels and word positions alone is computed from their copies in main memory, which
tensors that were moved here keep, and is moved as well.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device, with its copy in main memory for `on_host`.

    Integers only: nothing is differentiated through the copy. A GPU copies from pinned memory while others compute.
    """
    if device.type == tensor.device.type:
        return tensor
    pinned = tensor.pin_memory() if device.type == "cuda" and torch.cuda.is_available() else tensor
    moved = pinned.to(device, non_blocking=True)
    moved.sltk_host = tensor  # type: ignore[attr-defined]
    return moved


def on_host(tensor: Tensor) -> Tensor:
    """The tensor in main memory; one that `to_device` moved is not read from its device."""
    if tensor.device.type == "cpu":
        return tensor
    host: Tensor | None = getattr(tensor, "sltk_host", None)
    return tensor.cpu() if host is None else host
