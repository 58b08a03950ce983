"""Device and number formats of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...errors import ModelError, Problem
from ...types import Precision, PrecisionSetting

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


def resolve(setting: PrecisionSetting, target: torch.device, key: str = "trainer.precision") -> Precision:
    """The number format of products on a device: `auto` is bf16 on GPUs that have it, and fp32 elsewhere.

    Args:
        key: what holds the setting, for error messages: a key of a spec, or an option.

    Raises:
        ModelError: the device does not have the format.
    """
    if setting == "auto":
        return "bf16" if target.type == "cuda" and is_fast_in_bfloat16(target) else "fp32"
    if setting == "bf16" and not is_fast_in_bfloat16(target):
        raise ModelError(
            Problem(f"`{setting}`: {_without_bfloat16(target)}", path=key, notes=_advice(target))
        )
    if setting == "fp16" and target.type != "cuda":
        about = f"`{setting}` is for CUDA GPUs, and the model runs on `{target.type}`"
        raise ModelError(Problem(about, path=key, notes=_advice(target)))
    return setting


def _without_bfloat16(target: torch.device) -> str:
    if target.type == "cpu":
        return "this CPU has no bfloat16 instructions (AVX512-BF16 or AMX)"
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else f"`{target.type}`"
    return f"{name} does not multiply in bfloat16"


def _advice(target: torch.device) -> tuple[str, ...]:
    options = ["fp16", "fp32"] if target.type == "cuda" else ["fp32"]
    return (f"`auto` takes what the device has; here also: {', '.join(options)}",)


def weights_dtype(spec: PretrainedBackbone, target: torch.device) -> torch.dtype:
    """The dtype of weights that are not quantized; trained weights stay float32.

    On a CPU, a 4-bit layer multiplies in its compute dtype, and everything around it is float32.
    """
    if spec.dtype != "auto":
        return _named(spec.dtype)
    if spec.quantization is not None and not (target.type == "cpu" and spec.quantization.type != "int8"):
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
