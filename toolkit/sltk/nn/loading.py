"""Builds a backbone: weights, tokenizer, quantization, mask with its proof, LoRA."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from .. import masking
from ..backbones.pretrained import PretrainedBackbone, TrainedTokenizer
from ..errors import ModelError, Problem, nearest
from . import precision, proof
from .attention import NAME
from .backbone import BuildContext, PackedBackbone
from .fingerprint import fingerprint

_QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("query_proj", "value_proj"),
    ("c_attn",),
    ("query_key_value",),
    ("qkv_proj",),
    ("Wqkv",),
)
"""What families call their query and value projections, the usual name first."""


def build_backbone(spec: PretrainedBackbone, context: BuildContext) -> PackedBackbone:
    """The model that `spec` describes, on the device, its mask proven.

    Raises:
        ModelError: it cannot be had, cannot be unmasked, or mask or LoRA targets do not fit it.
    """
    saved_base = context.saved / "base" if context.saved else None
    has_saved_base = saved_base is not None and saved_base.exists()
    tokenizer = _tokenizer(spec, context)
    config = _config(spec, str(saved_base) if has_saved_base else spec.name, len(tokenizer))
    flags = check_shape(spec, config)
    source = str(saved_base) if has_saved_base else (spec.name if spec.init == "pretrained" else None)
    torch.manual_seed(context.seed)
    model = _weights(spec, config, source, context)
    backbone = _masked(model, tokenizer, flags, spec, context)
    if source and not has_saved_base:
        backbone.base = fingerprint(source, getattr(model.config, "_commit_hash", None))
    _set_trainable(backbone, spec, context)
    return backbone


def check_shape(spec: PretrainedBackbone, config: Any) -> tuple[bool, ...]:
    """The flags of the mask, after looking at a model without weights: blocks, family, LoRA targets.

    Raises:
        ModelError: the mask or the LoRA targets do not fit the model.
    """
    blocks = int(config.num_hidden_layers)
    try:
        flags = masking.flags(spec.unmask, blocks)
    except masking.MaskError as error:
        raise ModelError(Problem(str(error), path="backbone.unmask")) from error
    if spec.lora is not None:
        with torch.device("meta"):
            skeleton = AutoModel.from_config(config, attn_implementation="eager")
        lora_targets(skeleton, spec.lora.target_modules)
    return flags


def lora_targets(model: nn.Module, wanted: list[str] | str | None) -> list[str]:
    """The names of the layers that get an adapter.

    Raises:
        ModelError: a name is no linear layer of the model; those that exist are listed.
    """
    linear = {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if _is_linear(part)}
    if wanted == "all-linear":
        return sorted(linear)
    if wanted is None:
        found = next((names for names in _QUERY_AND_VALUE if linear.issuperset(names)), None)
        if found is None:
            raise ModelError(
                Problem(
                    "no query and value projections known for this family: name them",
                    path="backbone.lora.target_modules",
                    notes=(f"linear layers: {', '.join(sorted(linear))}",),
                )
            )
        return list(found)
    missing = [name for name in wanted if not any(_ends_with(full, name) for full, _ in model.named_modules())]
    if missing:
        raise ModelError(
            Problem(
                f"the model has no layer `{missing[0]}`",
                path="backbone.lora.target_modules",
                suggestion=nearest(missing[0], linear),
                notes=(f"linear layers: {', '.join(sorted(linear))}",),
            )
        )
    return list(wanted)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _ends_with(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _tokenizer(spec: PretrainedBackbone, context: BuildContext) -> Any:
    if context.saved is not None:
        return AutoTokenizer.from_pretrained(str(context.saved / "tokenizer"))
    if isinstance(spec.tokenizer, TrainedTokenizer):
        if context.texts is None:
            raise ModelError("a tokenizer is to be trained, but there is no training text")
        return train_tokenizer(context.texts(), spec.tokenizer.vocab_size)
    name = spec.tokenizer or spec.name
    assert name is not None
    extra = {"gguf_file": spec.gguf_file} if spec.gguf_file and spec.tokenizer is None else {}
    return _fetched(name, lambda: AutoTokenizer.from_pretrained(name, revision=spec.revision or "main", **extra))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer trained on `texts`; any text can be encoded with it."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer(add_prefix_space=False)
    bpe.train_from_iterator(texts, vocab_size=vocab_size, min_frequency=2, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def _config(spec: PretrainedBackbone, source: str | None, vocabulary: int) -> Any:
    if source is not None:
        extra = {"gguf_file": spec.gguf_file} if spec.gguf_file and source == spec.name else {}
        config = _fetched(source, lambda: AutoConfig.from_pretrained(source, revision=spec.revision or "main", **extra))
        if spec.init == "random" and spec.config and source == spec.name:
            config.update(dict(spec.config))
        return config
    settings = {"vocab_size": vocabulary, **(spec.config or {})}
    model_type = settings.pop("model_type")
    try:
        return AutoConfig.for_model(model_type, **settings)
    except ValueError as error:
        from transformers import CONFIG_MAPPING

        raise ModelError(
            Problem(
                f"unknown model_type `{model_type}`",
                path="backbone.config.model_type",
                suggestion=nearest(str(model_type), CONFIG_MAPPING.keys()),
            )
        ) from error


def _weights(spec: PretrainedBackbone, config: Any, source: str | None, context: BuildContext) -> nn.Module:
    dtype = precision.weights_dtype(spec, context.device)
    if source is None:
        return AutoModel.from_config(config, attn_implementation="eager", dtype=dtype).to(context.device)
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "eager", "use_safetensors": True}
    if spec.quantization is not None:
        options["quantization_config"] = precision.bitsandbytes_config(spec.quantization, context.device)
        options["device_map"] = {"": context.device}
    gguf = spec.gguf_file if source == spec.name else None
    if gguf:
        options["gguf_file"] = gguf
        options.pop("use_safetensors")
    else:
        options["config"] = config
    if source == spec.name and spec.revision:
        options["revision"] = spec.revision
    model = _fetched(source, lambda: AutoModel.from_pretrained(source, **options))
    if gguf:
        del model.config.quantization_config  # dequantized on load: plain weights from here on
        model.is_quantized, model.hf_quantizer = False, None
    return model if spec.quantization is not None else model.to(context.device)


def _masked(
    model: Any, tokenizer: Any, flags: tuple[bool, ...], spec: PretrainedBackbone, context: BuildContext
) -> PackedBackbone:
    """Put our attention under the model, and see that every block obeys its flag."""
    model.config.use_cache = False
    backbone = PackedBackbone(model.eval(), tokenizer, flags)
    try:
        model.set_attn_implementation(NAME)
        modules = proof.attention_modules(model, backbone.states)
    except (ValueError, KeyError, TypeError) as error:
        modules, reason = [], f" ({error})"
    else:
        reason = ""
    if len(modules) != len(flags):
        return _unpacked(model, backbone, len(modules), spec, reason)
    proof.assign_flags(modules, flags, drop_window=spec.unmask_window == "drop")
    if context.prove:
        backbone.proof = proof.prove(model, backbone.states, flags)
    return backbone


def _unpacked(model: Any, backbone: PackedBackbone, found: int, spec: PretrainedBackbone, reason: str) -> PackedBackbone:
    """A family with attention of its own: an encoder runs padded as it is; any mask is refused by name."""
    family = model.config.model_type
    if spec.type_name != "encoder" or not all(backbone.flags):
        raise ModelError(
            Problem(
                f"the family `{family}` cannot be unmasked: {found} of its {len(backbone.flags)} blocks take another "
                f"attention function{reason}",
                path="backbone.unmask" if spec.type_name == "encoder" else "backbone.name",
                notes=("families that can: docs/families.md",),
            )
        )
    model.set_attn_implementation("eager")
    backbone.packs = False
    return backbone


def _set_trainable(backbone: PackedBackbone, spec: PretrainedBackbone, context: BuildContext) -> None:
    model: Any = backbone.model
    if not spec.is_trained_whole:
        model.requires_grad_(False)
    if context.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if spec.lora is None:
        return
    from peft import LoraConfig, PeftModel, get_peft_model

    if context.saved is not None:
        backbone.model = PeftModel.from_pretrained(model, str(context.saved / "adapter"))
        return
    config = LoraConfig(
        r=spec.lora.r,
        lora_alpha=spec.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=spec.lora.dropout,
        target_modules=lora_targets(model, spec.lora.target_modules),
        bias="none",
        fan_in_fan_out=any(type(part).__name__ == "Conv1D" for part in model.modules()),
    )
    backbone.model = get_peft_model(model, config)


def _fetched(name: str, load: Any) -> Any:
    """Run a loader; say what to do where the hub, or the files, are out of reach."""
    is_folder = name.startswith(("/", ".", "~"))
    if is_folder and not Path(name).is_dir():
        raise ModelError(Problem(f"no model directory `{name}`", path="backbone.name"))
    try:
        return load()
    except ImportError as error:
        raise ModelError(Problem(f"`{name}` needs another package: {error}", path="backbone.name")) from error
    except (OSError, ValueError) as error:
        raise ModelError(_unreachable(name, error, is_folder)) from error


def _unreachable(name: str, error: Exception, is_folder: bool) -> Problem:
    text = str(error)
    if "safetensors" in text:
        return Problem(
            f"`{name}` has no safetensors weights; pickled weights are refused",
            path="backbone.name",
            notes=(
                "convert them once where you trust them: python -c \"from transformers import AutoModel; "
                f"AutoModel.from_pretrained('{name}').save_pretrained('{Path(name).name}-safetensors')\"",
            ),
        )
    if "gated" in text.lower() or "401" in text or "403" in text:
        note = f"accept its licence at huggingface.co/{name}, then `hf auth login`"
    elif is_folder:
        note = "expected config.json, model.safetensors and tokenizer.json there"
    else:
        note = "check the name and the network, or download it elsewhere and give the directory; `--rehearse` needs no hub"
    return Problem(f"cannot load `{name}`: {text.splitlines()[0]}", path="backbone.name", notes=(note,))
