"""Device and number formats of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone, Quantization


def device() -> torch.device:
    """The accelerator of this process, or the CPU if no accelerator is available."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def is_fast_in_bfloat16(target: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively. If emulated, it is hundreds of times slower than float32."""
    if target.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if target.type == "cpu":
        return bool(torch.backends.cpu.get_cpu_capability() in ("AVX512", "AMX")) and bool(
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    return False


def weights_dtype(spec: PretrainedBackbone, target: torch.device) -> torch.dtype:
    """The dtype of weights that are not quantized; trained weights stay float32."""
    if spec.dtype != "auto":
        return _named(spec.dtype)
    if spec.quantization is not None:
        return compute_dtype(spec.quantization, target)
    if spec.trains_all_weights or target.type == "cpu":
        return torch.float32
    return torch.bfloat16 if is_fast_in_bfloat16(target) else torch.float32


def compute_dtype(spec: Quantization, target: torch.device) -> torch.dtype:
    """The dtype of quantized matrix products: as in the spec, but float32 on a CPU that only emulates bfloat16."""
    if target.type == "cpu" and not is_fast_in_bfloat16(target):
        return torch.float32
    return torch.bfloat16 if spec.compute_dtype == "auto" else _named(spec.compute_dtype)


def bitsandbytes_config(spec: Quantization, target: torch.device) -> Any:
    """The quantization settings as transformers takes them."""
    from transformers import BitsAndBytesConfig

    if spec.type == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=spec.type,
        bnb_4bit_use_double_quant=spec.double,
        bnb_4bit_compute_dtype=compute_dtype(spec, target),
    )


def _named(name: str) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
