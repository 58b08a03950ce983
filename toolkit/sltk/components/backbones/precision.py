"""Device and number formats of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ...errors import ModelError, Problem
from ...nn import autocast
from ...nn.autocast import DTYPES
from ...types import Precision, PrecisionSetting

if TYPE_CHECKING:
    from ...nn.backbone import BuildContext
    from .pretrained import PretrainedBackbone, Quantization

_NAMES: tuple[Precision, ...] = ("bf16", "fp16", "fp32")


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


def resolve(
    setting: PrecisionSetting, target: torch.device, key: str | None = "trainer.precision"
) -> Precision:
    """The number format of products on a device: `auto` is bf16 on GPUs that have it, and fp32 elsewhere.

    Args:
        key: the key of a spec that holds the setting, for error messages; None if it is not from a spec.

    Raises:
        ModelError: the device does not have the format.
    """
    if setting == "auto":
        return "bf16" if target.type == "cuda" and is_fast_in_bfloat16(target) else "fp32"
    reason = missing(setting, target)
    if reason is not None:
        others = [name for name in _NAMES if missing(name, target) is None]
        note = f"possible here: auto (which is {resolve('auto', target)}), {', '.join(others)}"
        raise ModelError(Problem(f"cannot compute in {setting}: {reason}", path=key, notes=(note,)))
    return setting


def missing(precision: Precision, target: torch.device) -> str | None:
    """The reason why a device cannot compute in a number format; None if it can."""
    if precision == "bf16" and not is_fast_in_bfloat16(target):
        if target.type == "cpu":
            return "this CPU has no bfloat16 instructions (AVX512-BF16 or AMX)"
        name = torch.cuda.get_device_name(target) if target.type == "cuda" else f"the device `{target.type}`"
        return f"{name} does not multiply in bfloat16"
    if precision == "fp16" and target.type not in autocast.AUTOCAST_DEVICES:
        return f"fp16 is for CUDA GPUs, and the model runs on the device `{target.type}`"
    return None


def as_trained(stored: Mapping[str, Any], target: torch.device) -> PrecisionSetting:
    """The setting with which a model was trained, if it was trained on such a device; `auto` otherwise.

    Args:
        stored: `setting` and `device` in the description of the model; empty in models of earlier versions.
    """
    setting: PrecisionSetting = stored.get("setting", "auto")
    if setting == "auto" or stored.get("device") != target.type or missing(setting, target) is not None:
        return "auto"
    return setting


def weights_dtype(spec: PretrainedBackbone, context: BuildContext) -> torch.dtype:
    """The dtype of weights that are not quantized; trained weights stay float32.

    On a CPU, a 4-bit layer multiplies in its compute dtype, and everything around it is float32.
    """
    is_cpu, quantization = context.device.type == "cpu", spec.quantization
    if spec.dtype != "auto":
        return _named(spec.dtype)
    if quantization is not None and not (is_cpu and quantization.type != "int8"):
        return compute_dtype(quantization, context)
    if spec.trains_all_weights or is_cpu:
        return torch.float32
    return DTYPES[context.precision]


def compute_dtype(spec: Quantization, context: BuildContext) -> torch.dtype:
    """The dtype of quantized matrix products: as in the spec, but float32 on a CPU that only emulates bfloat16."""
    if context.device.type == "cpu":
        if not is_fast_in_bfloat16(context.device):
            return torch.float32
        return torch.bfloat16 if spec.compute_dtype == "auto" else _named(spec.compute_dtype)
    return DTYPES[context.precision] if spec.compute_dtype == "auto" else _named(spec.compute_dtype)


def bitsandbytes_config(spec: Quantization, context: BuildContext) -> Any:
    """The quantization settings as transformers takes them."""
    from transformers import BitsAndBytesConfig

    if spec.type == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=spec.type,
        bnb_4bit_use_double_quant=spec.double,
        bnb_4bit_compute_dtype=compute_dtype(spec, context),
    )


def _named(name: str) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
