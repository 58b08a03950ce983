"""Kernels for sentences of many lengths in one call: torch's own, else flash-attn's; on GPUs, in half precision.

A kernel is tried out before it is used: on two short sentences, forwards and backwards, with every kind of mask,
against torch's plain attention. One that fails or differs is not used; `chosen` says which one is, and `fault` why not.

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
"""`(q_THD, k_TKD, v_TKD, bounds_N1, longest, window, scaling) -> out_THD`; window -1 for no limit, each side."""

_TOLERANCE = 2e-2
"""Of bfloat16, which has 8 bits: the largest difference, as a part of the largest value."""
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

    known = inspect.signature(varlen_attn).parameters
    # One part a sentence: results that do not depend on what else is in the batch.
    more: dict[str, Any] = {"num_splits": 1} if "num_splits" in known else {}
    out: Any = varlen_attn(
        q, k, v, bounds, bounds, longest, longest,
        scale=scaling, window_size=window, enable_gqa=q.shape[1] != k.shape[1], **more,
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
    """Attention within each sentence by the chosen kernel. [1, H, T, D], [1, K, T, D] → [1, T, H, D].

    Only where `chosen` has one for the device and dtype of the query.
    """
    kernel = _KERNELS[str(chosen(query.device, query.dtype))]
    q_THD, k_TKD, v_TKD = (x[0].transpose(0, 1) for x in (query, key, value))
    bounds, longest = _bounds(packing, query.device)
    return kernel(q_THD, k_TKD, v_TKD, bounds, longest, _window(rule), scaling).unsqueeze(0)


def serves(query: Tensor, dropout: float) -> bool:
    """Whether a kernel can take this call; none of them knows dropout, or heads of more than 256 numbers."""
    fits = query.is_cuda and dropout == 0 and query.shape[3] <= _LARGEST_HEAD and query.shape[3] % 8 == 0
    return fits and chosen(query.device, query.dtype) is not None


def _window(rule: Rule) -> tuple[int, int]:
    """How many tokens to the left and to the right are seen, itself not counted; -1 for all."""
    reach = -1 if rule.window is None else rule.window - 1
    return reach, 0 if rule.causal else reach


@functools.lru_cache(maxsize=4)
def _bounds(packing: Packing, device: torch.device) -> tuple[Tensor, int]:
    """Where sentences begin and end, [N + 1], and the length of the longest; every block of a pass asks for them."""
    lengths = [length for _, count, length in packing.runs for _ in range(count)]
    # Asked for in evaluation, they are found again in training, which saves them for its gradients.
    with torch.inference_mode(False):
        bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device)
    return bounds, max(lengths)


@functools.cache
def chosen(device: torch.device, dtype: torch.dtype) -> str | None:
    """The name of the first kernel that works there; None where none does."""
    return next((name for name in _KERNELS if fault(name, device, dtype) is None), None)


@functools.cache
def fault(name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a kernel cannot be used there; None where it gives what plain attention gives."""
    if not _serves_device(device, dtype):
        return "needs a GPU and half precision"
    # Whoever asks first may be in inference mode, where nothing has a gradient.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        for rule in (Rule(True, None), Rule(False, None), Rule(True, 3), Rule(False, 3)):
            try:
                found = difference(_KERNELS[name], rule, device, dtype)
            except (RuntimeError, TypeError, ValueError, ImportError, AttributeError) as error:
                return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            if not found <= _TOLERANCE:
                return f"differs from plain attention by {found:.1%} with {rule}"
    return None


def _serves_device(device: torch.device, dtype: torch.dtype) -> bool:
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def difference(kernel: Kernel, rule: Rule, device: torch.device, dtype: torch.dtype) -> float:
    """How far output and gradients are from those of plain attention, on sentences of 7 and 4 tokens.

    The largest difference as a part of the largest value.
    """
    packing = Packing.of_lengths((7, 4))
    generator = torch.Generator().manual_seed(0)
    results = []
    inputs = [torch.randn(1, heads, 11, 64, generator=generator).to(device, dtype) for heads in (4, 2, 2)]
    for way in ("plain", "kernel"):
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        if way == "plain":
            out = by_length(q, k, v, packing, rule)
        else:
            bounds, longest = _bounds(packing, device)
            out = kernel(*(x[0].transpose(0, 1) for x in (q, k, v)), bounds, longest, _window(rule), None)[
                None
            ]
        gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
        results.append([x.detach().float() for x in (out, *gradients)])
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*results, strict=True))
