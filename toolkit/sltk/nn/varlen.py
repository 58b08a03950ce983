"""Kernels for sentences of many lengths in one call: torch's own, otherwise flash-attn's; on GPUs in half precision.

A kernel is tested before it is used, on two short sentences, forwards and backwards, with every kind of mask, against
torch's plain attention. A kernel that fails or differs is not used. `usable_kernel` returns the name of the one in
use, and `fault` the reason why a kernel is not usable.

Shapes: T tokens, H query heads, K key and value heads, D head size, N sentences.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .kernels import by_length
from .packing import Packing, Rule

Kernel = Callable[..., Tensor]
"""`(q_THD, k_TKD, v_TKD, bounds_N1, longest, window, scaling) -> out_THD`; a window of -1 is unlimited on that side."""

_TOLERANCE = 2e-2
"""Largest difference relative to the largest value; bfloat16 has 8 bits of precision."""
_LARGEST_HEAD = 256


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

    parameters = inspect.signature(varlen_attn).parameters
    # One split per sentence, so that results do not depend on the rest of the batch.
    options: dict[str, Any] = {"num_splits": 1} if "num_splits" in parameters else {}
    out: Any = varlen_attn(
        q, k, v, bounds, bounds, longest, longest,
        scale=scaling, window_size=window, enable_gqa=q.shape[1] != k.shape[1], **options,
    )  # fmt: skip
    return out  # type: ignore[no-any-return]


def _flash_attn(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bounds: Tensor,
    longest: int,
    window: tuple[int, int],
    scaling: float | None,
) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    out: Tensor = flash_attn_varlen_func(
        q,
        k,
        v,
        bounds,
        bounds,
        longest,
        longest,
        softmax_scale=scaling,
        causal=window[1] == 0,
        window_size=window,
    )
    return out


_KERNELS: dict[str, Kernel] = {"torch varlen": _torch, "flash-attn": _flash_attn}


def attend(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, rule: Rule, scaling: float | None
) -> Tensor:
    """Attention within each sentence by the usable kernel. [1, H, T, D], [1, K, T, D] → [1, T, H, D].

    `usable_kernel` must return one for the device and dtype of the query.
    """
    kernel = _KERNELS[str(usable_kernel(query.device, query.dtype))]
    return _call(kernel, query, key, value, packing, rule, scaling)


def _call(
    kernel: Kernel,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    scaling: float | None,
) -> Tensor:
    q_THD, k_TKD, v_TKD = (x[0].transpose(0, 1) for x in (query, key, value))
    bounds, longest = _bounds(packing, query.device)
    return kernel(q_THD, k_TKD, v_TKD, bounds, longest, _window(rule), scaling).unsqueeze(0)


def supports(query: Tensor, dropout: float) -> bool:
    """Whether a kernel can compute this call. No kernel supports dropout, or heads of more than 256 numbers."""
    fits = query.is_cuda and dropout == 0 and query.shape[3] <= _LARGEST_HEAD and query.shape[3] % 8 == 0
    return fits and usable_kernel(query.device, query.dtype) is not None


def _window(rule: Rule) -> tuple[int, int]:
    """Number of visible tokens on the left and on the right, without the token itself; -1 for all."""
    reach = -1 if rule.window is None else rule.window - 1
    return reach, 0 if rule.causal else reach


@functools.lru_cache(maxsize=4)
def _bounds(packing: Packing, device: torch.device) -> tuple[Tensor, int]:
    """Bounds of the sentences, [N + 1], and the length of the longest; cached, because every block needs them."""
    lengths = packing.lengths
    # Bounds that evaluation has cached are also used in training, where autograd saves them.
    with torch.inference_mode(False):
        bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device)
    return bounds, max(lengths)


@functools.cache
def usable_kernel(device: torch.device, dtype: torch.dtype) -> str | None:
    """The name of the first kernel that works for this device and dtype; None if none does."""
    return next((name for name in _KERNELS if fault(name, device, dtype) is None), None)


@functools.cache
def fault(name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why a kernel is not usable for this device and dtype; None if it agrees with plain attention."""
    if not _supports_device(device, dtype):
        return "needs a GPU and half precision"
    # The first caller may be in inference mode, where nothing has a gradient.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        for rule in (Rule(True, None), Rule(False, None), Rule(True, 3), Rule(False, 3)):
            try:
                error = difference(_KERNELS[name], rule, device, dtype)
            except (RuntimeError, TypeError, ValueError, ImportError, AttributeError) as failure:
                return f"{type(failure).__name__}: {str(failure).strip().splitlines()[0] if str(failure) else ''}"
            if not error <= _TOLERANCE:
                return f"differs from plain attention by {error:.1%} with {rule}"
    return None


def _supports_device(device: torch.device, dtype: torch.dtype) -> bool:
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def difference(kernel: Kernel, rule: Rule, device: torch.device, dtype: torch.dtype) -> float:
    """The largest difference of output and gradients from plain attention, relative to the largest value.

    Measured on sentences of 7 and 4 tokens.
    """
    packing = Packing.of_lengths((7, 4))
    generator = torch.Generator().manual_seed(0)
    results = []
    inputs = [torch.randn(1, heads, 11, 64, generator=generator).to(device, dtype) for heads in (4, 2, 2)]
    for is_plain in (True, False):
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        out = by_length(q, k, v, packing, rule) if is_plain else _call(kernel, q, k, v, packing, rule, None)
        gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
        results.append([x.detach().float() for x in (out, *gradients)])
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*results, strict=True))
