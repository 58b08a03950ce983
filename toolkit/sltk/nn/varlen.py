"""Kernels for sentences of many lengths in one call: torch's own, otherwise flash-attn's; on GPUs in half precision.

A kernel is probed before it is used, on two sentences, forwards and backwards, with the heads, the dtype and the rule
of the call, against plain attention. A kernel that fails or differs is not used. `usable_kernel` returns the one to
use, and `fault` the reason why a kernel is not usable.

Shapes: T tokens, H query heads, K key and value heads, D head size, N sentences.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .kernels import by_length
from .packing import Packing, Rule

Compute = Callable[..., Tensor]
"""`(q_THD, k_TKD, v_TKD, bounds_N1, longest, window, scaling) -> out_THD`; a window of -1 is unlimited on that side.

A kernel that has a further argument `softcap` is also used where scores are soft-capped."""

_TOLERANCE = 2e-2
"""Largest difference relative to the largest value; bfloat16 has 8 bits of precision."""
_PROBE_LENGTHS = (70, 7)
_PROBE_WINDOW = 3


class Call(NamedTuple):
    """Everything on which it depends whether a kernel can compute an attention call."""

    device: torch.device
    dtype: torch.dtype
    heads: int
    key_heads: int
    size: int
    value_size: int
    causal: bool
    windowed: bool
    scaling: float | None
    softcap: float | None = None


@dataclass(frozen=True)
class VarlenKernel:
    """A kernel, and the calls that it may be tried on."""

    name: str
    compute: Compute
    devices: tuple[str, ...] = ("cuda",)
    dtypes: tuple[torch.dtype, ...] = (torch.bfloat16, torch.float16)
    largest_head: int = 256
    multiple: int = 8
    """What head sizes must be a multiple of."""

    def unsupported(self, call: Call) -> str | None:
        """The reason why the kernel is not even probed; None if it may be."""
        if call.device.type not in self.devices or call.dtype not in self.dtypes:
            return f"needs {' or '.join(map(name_of, self.dtypes))}, not {name_of(call.dtype)}"
        if call.size != call.value_size:
            return f"values have {call.value_size} numbers per head, and keys {call.size}"
        if call.size > self.largest_head or call.size % self.multiple:
            about = f"multiples of {self.multiple} up to {self.largest_head}"
            return f"the head size {call.size} is not among the {about}"
        if call.softcap is not None and not _has_softcap(self.compute):
            return "has no soft cap on scores"
        return None


def name_of(dtype: torch.dtype) -> str:
    """`bfloat16`."""
    return str(dtype).removeprefix("torch.")


@functools.cache
def _has_softcap(compute: Compute) -> bool:
    return "softcap" in inspect.signature(compute).parameters


@functools.cache
def _arguments(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the arguments of a library's function, which differ between versions; read once."""
    return frozenset(inspect.signature(function).parameters)


def _torch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bounds: Tensor,
    longest: int,
    window: tuple[int, int],
    scaling: float | None,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    return call_torch(varlen_attn, q, k, v, bounds, longest, window, scaling)


def call_torch(
    function: Callable[..., Any],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bounds: Tensor,
    longest: int,
    window: tuple[int, int],
    scaling: float | None,
) -> Tensor:
    """Call a `varlen_attn` of torch 2.10 or later with the arguments it has.

    2.10 has `is_causal`, and neither `scale` nor `window_size`; later versions have both in its place, and from 2.12
    also `enable_gqa` and `num_splits`.

    Raises:
        ValueError: this version has no windows.
    """
    known, options = _arguments(function), dict[str, Any]()
    if "window_size" in known:
        options["window_size"] = window
    elif window[0] >= 0:
        raise ValueError("varlen_attn of this version of torch has no windows")
    else:
        options["is_causal"] = window[1] == 0
    if "scale" in known:
        options["scale"] = scaling
    elif scaling is not None:
        q = q * (scaling * q.shape[-1] ** 0.5)
    groups = q.shape[1] // k.shape[1]
    if "enable_gqa" in known:
        options["enable_gqa"] = groups > 1
    elif groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    if "num_splits" in known:
        options["num_splits"] = 1  # results do not depend on the rest of the batch
    return function(q, k, v, bounds, bounds, longest, longest, **options)  # type: ignore[no-any-return]


def _flash_attn(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bounds: Tensor,
    longest: int,
    window: tuple[int, int],
    scaling: float | None,
    softcap: float | None = None,
) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    options = {} if softcap is None else {"softcap": softcap}
    out: Tensor = flash_attn_varlen_func(
        q, k, v, bounds, bounds, longest, longest,
        softmax_scale=scaling, causal=window[1] == 0, window_size=window, **options,
    )  # fmt: skip
    return out


KERNELS: list[VarlenKernel] = [VarlenKernel("torch varlen", _torch), VarlenKernel("flash-attn", _flash_attn)]
"""In the order in which they are tried."""


@functools.cache
def exist_for(device: torch.device) -> bool:
    """Whether there is a kernel for this kind of device, so that not using one is worth a note."""
    return any(device.type in kernel.devices for kernel in KERNELS)


@functools.cache
def usable_kernel(call: Call) -> VarlenKernel | None:
    """The first kernel that works for this call; None if none does."""
    return next((kernel for kernel in KERNELS if fault(kernel, call) is None), None)


def faults(call: Call) -> str:
    """The reasons why no kernel is usable, of those that exist for the device."""
    tried = [kernel for kernel in KERNELS if call.device.type in kernel.devices]
    return "; ".join(f"{kernel.name}: {fault(kernel, call)}" for kernel in tried)


def attend(
    kernel: VarlenKernel,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    scaling: float | None,
    softcap: float | None = None,
) -> Tensor:
    """Attention within each sentence by a usable kernel. [1, H, T, D], [1, K, T, D] → [1, T, H, D]."""
    # Not `x[0]`: its gradient is a tensor of zeros and a copy.
    q_THD, k_TKD, v_TKD = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
    bounds, longest = packing.bounds(query.device), packing.longest
    options = {} if softcap is None else {"softcap": softcap}
    out_THD = kernel.compute(q_THD, k_TKD, v_TKD, bounds, longest, _window(rule), scaling, **options)
    return out_THD.unsqueeze(0)


def _window(rule: Rule) -> tuple[int, int]:
    """Number of visible tokens on the left and on the right, without the token itself; -1 for all."""
    reach = -1 if rule.window is None else rule.window - 1
    return reach, 0 if rule.causal else reach


@functools.cache
def fault(kernel: VarlenKernel, call: Call) -> str | None:
    """The reason why a kernel is not usable for a call; None if it agrees with plain attention."""
    reason = kernel.unsupported(call)
    if reason is not None:
        return reason
    # The first caller may be in inference mode, where nothing has a gradient.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(call.device.type, enabled=False):
        try:
            error = difference(kernel, call)
        except (RuntimeError, TypeError, ValueError, ImportError, AttributeError, AssertionError) as failure:
            return f"{type(failure).__name__}: {str(failure).strip().splitlines()[0] if str(failure) else ''}"
    return None if error <= _TOLERANCE else f"differs from plain attention by {error:.1%}"


def difference(kernel: VarlenKernel, call: Call) -> float:
    """The largest difference of output and gradients from plain attention, relative to the largest value.

    Plain attention computes in float32, from the same rounded numbers.
    """
    packing = Packing.of_lengths(_PROBE_LENGTHS)
    rule = Rule(call.causal, _PROBE_WINDOW if call.windowed else None)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(1, heads, packing.tokens, size, generator=generator).to(call.device, call.dtype)
        for heads, size in (
            (call.heads, call.size),
            (call.key_heads, call.size),
            (call.key_heads, call.value_size),
        )
    ]
    results = []
    for is_plain in (True, False):
        q, k, v = ((x.float() if is_plain else x.clone()).requires_grad_() for x in inputs)
        if is_plain:
            out = by_length(q, k, v, packing, rule, call.scaling, softcap=call.softcap)
        else:
            out = attend(kernel, q, k, v, packing, rule, call.scaling, call.softcap)
        gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
        results.append([x.detach().float() for x in (out, *gradients)])
    errors = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(*results, strict=True)]
    return max(errors) if all(error == error for error in errors) else float("inf")
