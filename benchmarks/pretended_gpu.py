"""A GPU that Python sees and that computes nothing: the path of a network on a GPU, on a machine without one.

Tensors are fake: they have a shape, a dtype and a device, but no data. Python code sees them on a GPU. torch sees them
on the CPU, because autograd refuses fake tensors on a GPU unless torch is built with CUDA. Where torch itself chooses
an operation by the device, in dropout and in RMS norms, the one of CUDA is called here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sltk.nn import varlen

GPU, _CPU = torch.device("cuda", 0), torch.device("cpu")


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Let torch, peft and sltk believe in a GPU with bfloat16 and a variable-length kernel."""
    is_enabled, autocast_dtype = torch.is_autocast_enabled, torch.get_autocast_dtype
    with ExitStack() as stack:
        for owner, name, value in (
            (torch, "autocast", _PretendedAutocast),
            (torch, "is_autocast_enabled", lambda *_: is_enabled("cpu")),
            (torch, "get_autocast_dtype", lambda *_: autocast_dtype("cpu")),
            (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
            (FakeTensor, "device", property(_device)),
            (varlen, "usable_kernel", lambda _: varlen.KERNELS[0]),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        # Recomputed tensors are compared with saved ones, in a place where the CPU shows.
        checks = torch.utils.checkpoint._allowed_determinism_checks_to_fns
        stack.enter_context(mock.patch.dict(checks, {"default": lambda _: None}))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(PretendedGPU())
        yield


class PretendedGPU(TorchFunctionMode):
    """Presents fake tensors on the CPU to Python as tensors on a GPU, and calls what torch calls for those.

    Autograd refuses fake tensors on a GPU unless torch is built with CUDA, so these are on the CPU. Where torch itself
    looks at the device, in dropout and in RMS norms, the operation of CUDA is called here.
    """

    visible = 0
    """Above 0 while Python code of a model runs, outside operations."""

    def __enter__(self) -> PretendedGPU:
        PretendedGPU.visible += 1
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        PretendedGPU.visible -= 1
        super().__exit__(*error)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function == Tensor.is_cuda.__get__:
            return True
        if function is functional.dropout or function is torch.dropout:
            function = _dropout
        if function is functional.rms_norm:
            function = _rms_norm
        args = tuple(_CPU if _is_gpu(each) else each for each in args)
        if _is_gpu(kwargs.get("device")):
            kwargs["device"] = _CPU
        with operating():
            return function(*args, **kwargs)


@contextmanager
def operating() -> Iterator[None]:
    """Within an operation, torch sees the device that fake tensors are on."""
    visible, PretendedGPU.visible = PretendedGPU.visible, 0
    try:
        yield
    finally:
        PretendedGPU.visible = visible


def _device(x: Any) -> torch.device:
    """The device of a fake tensor, as Python sees it."""
    return GPU if PretendedGPU.visible else _fake_device.fget(x)


_fake_device: Any = FakeTensor.device


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.ops.aten.native_dropout(x, p, True)[0] if training and p else x


def _rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """One operation in each direction, as on CUDA; on the CPU, where torch has none, a layer norm stands in."""
    return torch.ops.aten.native_layer_norm(x, list(shape), weight, None, eps or 0.0)[0]


def _is_gpu(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value).startswith("cuda")


class _PretendedAutocast(torch.autocast):
    """Autocast for the pretended GPU. Its lists for CPU and CUDA agree in what decoders compute in bfloat16."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)
