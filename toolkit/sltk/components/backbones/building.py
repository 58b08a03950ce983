"""Builds a backbone: weights, tokenizer, quantization, mask with its proof, LoRA."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
)

from ... import masks
from ...errors import ModelError, Problem, nearest
from ...nn import fused
from ...nn.backbone import BuildContext, PackedBackbone
from . import local_tokenizer, lora, precision
from .content_hash import fingerprint
from .fetching import fetched, located
from .pretrained import TrainedTokenizer
from .shared_base import shared_model
from .unmasking import masked

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone

_MISFITS = (ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError, StrictDataclassError)
"""What transformers raises where the values of a config do not fit each other."""


def build_backbone(spec: PretrainedBackbone, context: BuildContext) -> PackedBackbone:
    """The model that `spec` describes, on the device, its mask proven.

    Raises:
        ModelError: it cannot be had, cannot be unmasked, or mask or LoRA targets do not fit it.
    """
    tokenizer = _tokenizer(spec, context)
    source = _source(spec, context)
    config = _config(spec, source, len(tokenizer))
    flags = check_shape(spec, config)
    torch.manual_seed(context.seed)
    model = _shared_weights(spec, config, source, context)
    backbone = masked(model.base_model if context.language_model else model, tokenizer, flags, spec, context)
    backbone.language_model = model if context.language_model else None
    if source is not None and not source.is_inside_run:
        backbone.base = fingerprint(source.name, source.options.get("revision"))
    _set_trainable(backbone, spec, context)
    fused.fuse(backbone)
    return backbone


@dataclass(frozen=True)
class _Source:
    """Where weights are, and which version and which file of them is meant."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    is_inside_run: bool = False
    """Fresh weights, or ones that were trained whole: a run saves them itself."""


def _source(spec: PretrainedBackbone, context: BuildContext) -> _Source | None:
    """Where the weights are; None where they are to be made."""
    if context.saved is not None:
        # An export that transformers can read too has its weights beside the rest.
        places = (context.saved / "base", context.saved)
        for folder in (folder for folder in places if (folder / "config.json").is_file()):
            return _Source(str(folder), is_inside_run=True)
    if spec.init == "random" or spec.name is None:
        return None
    return _Source(located(spec.name, context.base), _options(spec))


def _options(spec: PretrainedBackbone) -> dict[str, Any]:
    options = {"revision": spec.revision, "gguf_file": spec.gguf_file}
    return {key: value for key, value in options.items() if value is not None}


def check_shape(spec: PretrainedBackbone, config: Any) -> tuple[bool, ...]:
    """The flags of the mask, after looking at a model without weights: blocks, LoRA targets.

    Raises:
        ModelError: the mask or the LoRA targets do not fit the model.
    """
    blocks = getattr(config, "num_hidden_layers", None)
    if not isinstance(blocks, int) or getattr(config, "is_encoder_decoder", False):
        kind = f"the family `{config.model_type}` is neither a text encoder nor a decoder-only language model"
        raise ModelError(
            Problem(kind, path="backbone.name", notes=("families that work: docs/reference/families.md",))
        )
    try:
        flags = masks.flags(spec.unmask, blocks)
    except masks.MaskError as error:
        raise ModelError(Problem(str(error), path="backbone.unmask")) from error
    if spec.lora is not None:
        with torch.device("meta"):
            skeleton = _of_values(
                config.model_type, lambda: AutoModel.from_config(config, attn_implementation="eager")
            )
        lora.targets(skeleton, spec.lora.target_modules)
    return flags


def _tokenizer(spec: PretrainedBackbone, context: BuildContext) -> Any:
    if isinstance(spec.tokenizer, TrainedTokenizer):
        return tokenizer_for(context, spec.tokenizer.vocab_size)
    if context.saved is not None:
        return _saved_tokenizer(context.saved)
    name = spec.tokenizer or spec.name
    assert name is not None
    extra = _options(spec) if spec.tokenizer is None else {}
    return fetched(name, lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=False, **extra))


def tokenizer_for(context: BuildContext, vocab_size: int) -> Any:
    """The tokenizer of the model that is loaded; of a new one, a tokenizer trained on the training text.

    Raises:
        ModelError: there is neither.
    """
    if context.saved is not None:
        return _saved_tokenizer(context.saved)
    if context.texts is None:
        raise ModelError("a tokenizer is to be trained, but there is no training text")
    trained = train_tokenizer(context.texts(), vocab_size)
    if context.language_model:  # whatever the objective, so that the models of both are of one size
        trained.add_special_tokens({"mask_token": "<mask>"})
    return trained


def _saved_tokenizer(model: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(model / "tokenizer"), trust_remote_code=False)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer trained on `texts`; any text can be encoded with it."""
    from transformers import PreTrainedTokenizerFast

    trained = local_tokenizer.train(texts, vocab_size)
    return PreTrainedTokenizerFast(tokenizer_object=trained, **local_tokenizer.TRAINED_SPECIAL)


def _config(spec: PretrainedBackbone, source: _Source | None, vocabulary: int) -> Any:
    if source is None and spec.name is not None:
        return _read_config(_Source(spec.name, _options(spec)), dict(spec.config or {}))
    if source is not None:
        return _read_config(source, {})
    settings = {"vocab_size": vocabulary, **(spec.config or {})}
    model_type = str(settings.pop("model_type"))
    if model_type not in CONFIG_MAPPING:
        path, suggestion = "backbone.config.model_type", nearest(model_type, CONFIG_MAPPING.keys())
        raise ModelError(Problem(f"unknown model_type `{model_type}`", path=path, suggestion=suggestion))
    return _of_values(model_type, lambda: AutoConfig.for_model(model_type, **settings))


def _of_values(model_type: str, make: Callable[[], Any]) -> Any:
    """What `make` makes of the values of a config; they may not fit each other."""
    try:
        return make()
    except _MISFITS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        message = f"no {model_type} model can be made of these values: {reason}"
        raise ModelError(Problem(message, path="backbone.config")) from error


def _read_config(source: _Source, changes: dict[str, Any]) -> Any:
    read = functools.partial(AutoConfig.from_pretrained, source.name, trust_remote_code=False)
    config = fetched(source.name, lambda: read(**source.options))
    config.update(changes)
    return config


def _weights(spec: PretrainedBackbone, config: Any, source: _Source | None, context: BuildContext) -> Any:
    if source is None:
        return _fresh(spec, config, context)
    kind = _kind(spec, context)
    options: dict[str, Any] = {"dtype": precision.weights_dtype(spec, context.device), **source.options}
    if "gguf_file" in options:
        return _plain(_load(source.name, kind, **options)).to(context.device)
    options |= {"config": config, "use_safetensors": True}
    if spec.quantization is None:
        return _load(source.name, kind, **options).to(context.device)
    if getattr(config, "quantization_config", None) is None:  # a saved base is quantized already
        options["quantization_config"] = precision.bitsandbytes_config(spec.quantization, context.device)
    return _differentiable(_load(source.name, kind, device_map={"": context.device}, **options))


def _kind(spec: PretrainedBackbone, context: BuildContext) -> Any:
    """What transformers is to make; the output layer of an encoder is the same whether it is causal or not."""
    if not context.language_model:
        return AutoModel
    return AutoModelForMaskedLM if spec.type_name == "encoder" else AutoModelForCausalLM


def _shared_weights(
    spec: PretrainedBackbone, config: Any, source: _Source | None, context: BuildContext
) -> Any:
    """The weights; in a sweep they are loaded once for all runs that leave them as they are."""
    make = functools.partial(_weights, spec, config, source, context)
    quantization = spec.quantization
    # The first forward pass through int8 weights changes them.
    is_changed = spec.is_trained_whole or (quantization is not None and quantization.type == "int8")
    if source is None or source.is_inside_run or is_changed or context.language_model:
        return make()
    dtype = precision.weights_dtype(spec, context.device)
    key = (source.name, *source.options.items(), repr(quantization), dtype, str(context.device))
    return shared_model(key, make, context.device)


def _load(name: str, kind: Any, **options: Any) -> Any:
    load = functools.partial(kind.from_pretrained, name, attn_implementation="eager", trust_remote_code=False)
    model, found = fetched(name, lambda: load(output_loading_info=True, **options))
    missing = [key for key in found["missing_keys"] if not key.startswith(f"{model.base_model_prefix}.")]
    if kind is not AutoModel and missing:
        about = f"`{name}` has no output layer to predict tokens with (`{sorted(missing)[0]}` is missing)"
        raise ModelError(Problem(about, path="backbone.name"))
    return model


def _differentiable(model: Any) -> Any:
    """Keep bitsandbytes from repacking 4-bit weights for AVX512-BF16 in the first forward pass of evaluation.

    Its products of repacked weights have no gradient, in training afterwards neither: all adapters but those of
    the last block would silently stay as they are.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def _plain(model: Any) -> Any:
    """A model loaded from GGUF is dequantized: plain weights from here on, whatever its config says."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    return model


def _fresh(spec: PretrainedBackbone, config: Any, context: BuildContext) -> Any:
    """Random weights; quantized ones by way of a file, for transformers quantizes only what it loads."""
    dtype = torch.float32 if spec.quantization is not None else precision.weights_dtype(spec, context.device)
    make = functools.partial(
        _kind(spec, context).from_config, config, attn_implementation="eager", dtype=dtype
    )
    model = _of_values(config.model_type, make)
    if spec.quantization is None:
        return model.to(context.device)
    with tempfile.TemporaryDirectory(prefix="sltk-") as folder:
        model.save_pretrained(folder)
        return _weights(spec, config, _Source(folder), context)


def _set_trainable(backbone: PackedBackbone, spec: PretrainedBackbone, context: BuildContext) -> None:
    model: Any = backbone.model
    if not spec.is_trained_whole:
        (backbone.language_model or model).requires_grad_(False)
    if context.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if spec.lora is not None:
        adapter = context.saved / "adapter" if context.saved else None
        backbone.model = lora.with_adapters(model, spec.lora, adapter)
        if spec.adapter is not None and adapter is None:
            lora.start_from(backbone.model, spec.adapter, backbone.base)
