"""The number format of matrix products: autocast on a GPU, bf16 products of the fused modules on a CPU.

Trained weights, the head and the loss are float32 in every format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ..types import Precision

AUTOCAST_DEVICES = {"cuda"}
"""The types of devices on which products in half precision are those of autocast."""
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The dtype that autocast multiplies in on this device; None if it is off."""
    is_half = precision != "fp32" and device.type in AUTOCAST_DEVICES
    return DTYPES[precision] if is_half else None


def computing_in(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Multiply in `dtype` inside the context; None changes nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def use_tf32(device: torch.device) -> None:
    """Let float32 products on CUDA use TF32: 11 bits of precision instead of 24, and several times faster.

    torch's older switch is used: after the newer one, its functions that read the older one raise errors.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True


def uses_tf32(device: torch.device) -> bool:
    """Whether float32 products on this device use TF32."""
    return device.type == "cuda" and bool(torch.backends.cuda.matmul.allow_tf32)


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 matrices in full float32 inside the context, on every device."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
