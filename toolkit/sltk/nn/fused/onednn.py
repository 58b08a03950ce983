"""Matrix products on a CPU with oneDNN: in float32 where it is faster than torch's usual library, and in bfloat16.

On x86, torch multiplies float32 matrices with Intel's MKL, which does not use the wide registers (AVX-512) of other
manufacturers' processors. oneDNN, which is part of torch, uses them and is twice as fast on an AMD EPYC of 2024.
torch itself uses oneDNN for half precision only. `docs/reports/performance.md` has the measurements.

Shapes: I inputs, O outputs, T rows.
"""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from .bfloat16 import rounded_input, rounded_weight
from .quantized import dequantized, is_quantized

_KERNELS = 32
"""Number of compiled kernels to cache: more than a model with adapters has shapes, forwards and backwards."""


@functools.cache
def is_faster() -> bool:
    """Whether oneDNN is faster on this machine. The processor decides, not a timing, so that all runs agree."""
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    is_wide = torch.backends.cpu.get_cpu_capability() == "AVX512" and not _is_intel()
    return has_both and is_wide and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _is_intel() -> bool:
    try:
        description = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        description = platform.processor()
    return "GenuineIntel" in description


def keep_few_kernels() -> None:
    """Limit the kernel caches of oneDNN and of torch to the compiled kernels of about one batch.

    Each number of rows has its own kernels of nearly a megabyte, and the number of rows differs from batch to batch.
    The thousand kernels that are cached by default would use most of the memory of a small model. Both caches read
    these variables once, at the first use of oneDNN, which may be in torch's own GELU.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(_KERNELS))


if is_faster():
    keep_few_kernels()


@functools.cache
def _is_available() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
    """x [*, I] · weight [O, I]ᵀ + bias [O] + added [*, O] → [*, O], without a gradient.

    `x`, `weight` and `added` have one dtype, float32 or bfloat16, which the result gets too. The bias is float32.
    """
    if not (is_faster() if x.dtype == torch.float32 else _is_available()):
        out = F.linear(x, weight, None if bias is None else bias.to(x.dtype))
        return out if added is None else out.add_(added)
    if added is None:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
    return torch.ops.mkldnn._linear_pointwise.binary(x, added, weight, bias, "add")  # type: ignore[no-any-return]


def changeable(out: Tensor) -> Tensor:
    """The same numbers as no view: autograd lets nobody change in place what a function of ours returns as a view.

    RoCBert adds embeddings to the output of a linear layer in place.
    """
    return torch.ops.aten._unsafe_view(out, out.shape)  # type: ignore[no-any-return]


def gated_product(
    x: Tensor, gate: Tensor, gate_bias: Tensor | None, up: Tensor, up_bias: Tensor | None
) -> Tensor:
    """silu(x · gateᵀ + bias) · (x · upᵀ + bias), without a gradient: x [T, I], gate and up [O, I] → [T, O].

    oneDNN applies the activation and the factor to float32 sums, before they are stored.
    """
    if not (is_faster() if x.dtype == torch.float32 else _is_available()):
        return F.silu(product(x, gate, gate_bias)).mul_(product(x, up, up_bias))
    activated = torch.ops.mkldnn._linear_pointwise(x, gate, gate_bias, "swish", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(x, activated, up, up_bias, "mul")  # type: ignore[no-any-return]


def weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient of a weight [O, I] from the gradient of the outputs [*, O] and the inputs [*, I]."""
    return product(gradient.flatten(0, -2).T, x.flatten(0, -2).T)


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer of torch or of GPT-2."""
    return isinstance(module, nn.Linear) or stores_transposed(module)


def stores_transposed(layer: nn.Module) -> bool:
    """Whether a layer is GPT-2's linear layer, whose weight is [I, O]."""
    return isinstance(layer, Conv1D)


def operand(layer: nn.Module, dtype: torch.dtype) -> Tensor:
    """The weight [O, I] of a linear layer as products take it: in `dtype`, or in that of a 4-bit layer."""
    if is_quantized(layer):
        return dequantized(layer)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if dtype == torch.bfloat16:
        weight = rounded_weight(weight)
    return weight.T if stores_transposed(layer) else weight


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A float32 input in the dtype of a product."""
    return rounded_input(x) if dtype == torch.bfloat16 else x
