"""Builds a backbone: weights, tokenizer, quantization, mask with its proof, LoRA."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoTokenizer

from .. import masking
from ..backbones.pretrained import TrainedTokenizer
from ..errors import ModelError, Problem, nearest
from . import lora, precision, quiet  # noqa: F401  (`quiet` acts when imported)
from .backbone import BuildContext, PackedBackbone
from .fetching import fetched, located
from .fingerprint import fingerprint
from .masked import masked

if TYPE_CHECKING:
    from ..backbones.pretrained import PretrainedBackbone


def build_backbone(spec: PretrainedBackbone, context: BuildContext) -> PackedBackbone:
    """The model that `spec` describes, on the device, its mask proven.

    Raises:
        ModelError: it cannot be had, cannot be unmasked, or mask or LoRA targets do not fit it.
    """
    tokenizer = _tokenizer(spec, context)
    source = _source(spec, context)
    config = _config(spec, source or spec.name, len(tokenizer))
    flags = check_shape(spec, config)
    torch.manual_seed(context.seed)
    model = _weights(spec, config, source, context)
    backbone = masked(model, tokenizer, flags, spec, context)
    if source is not None and source != _saved_base(context):
        backbone.base = fingerprint(source, getattr(model.config, "_commit_hash", None))
    _set_trainable(backbone, spec, context)
    return backbone


def _saved_base(context: BuildContext) -> str | None:
    """The weights inside a saved model: fresh ones, or ones that were trained whole."""
    folder = context.saved / "base" if context.saved else None
    return str(folder) if folder is not None and folder.is_dir() else None


def _source(spec: PretrainedBackbone, context: BuildContext) -> str | None:
    """Where the weights are; None where they are to be made."""
    saved = _saved_base(context)
    if saved is not None or spec.init == "random" or spec.name is None:
        return saved
    return located(spec.name, dict(context.base))


def check_shape(spec: PretrainedBackbone, config: Any) -> tuple[bool, ...]:
    """The flags of the mask, after looking at a model without weights: blocks, LoRA targets.

    Raises:
        ModelError: the mask or the LoRA targets do not fit the model.
    """
    blocks = getattr(config, "num_hidden_layers", None)
    if not isinstance(blocks, int) or getattr(config, "is_encoder_decoder", False):
        kind = f"the family `{config.model_type}` is neither a text encoder nor a decoder-only language model"
        raise ModelError(Problem(kind, path="backbone.name", notes=("families that work: docs/families.md",)))
    try:
        flags = masking.flags(spec.unmask, blocks)
    except masking.MaskError as error:
        raise ModelError(Problem(str(error), path="backbone.unmask")) from error
    if spec.lora is not None:
        with torch.device("meta"):
            skeleton = AutoModel.from_config(config, attn_implementation="eager", trust_remote_code=False)
        lora.targets(skeleton, spec.lora.target_modules)
    return flags


def _tokenizer(spec: PretrainedBackbone, context: BuildContext) -> Any:
    if context.saved is not None:
        return AutoTokenizer.from_pretrained(str(context.saved / "tokenizer"), trust_remote_code=False)
    if isinstance(spec.tokenizer, TrainedTokenizer):
        if context.texts is None:
            raise ModelError("a tokenizer is to be trained, but there is no training text")
        return train_tokenizer(context.texts(), spec.tokenizer.vocab_size)
    name = spec.tokenizer or spec.name
    assert name is not None
    extra = _of_the_model(spec) if spec.tokenizer is None else {}
    return fetched(name, lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=False, **extra))


def _of_the_model(spec: PretrainedBackbone) -> dict[str, Any]:
    """Which version, and which file, of `name` is meant."""
    revision = {"revision": spec.revision} if spec.revision else {}
    return {**revision, "gguf_file": spec.gguf_file} if spec.gguf_file else revision


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer trained on `texts`; any text can be encoded with it."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"]
    bpe = ByteLevelBPETokenizer(add_prefix_space=False)
    bpe.train_from_iterator(
        texts, vocab_size=vocab_size, min_frequency=2, special_tokens=special, show_progress=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def _config(spec: PretrainedBackbone, source: str | None, vocabulary: int) -> Any:
    if source is not None:
        extra = _of_the_model(spec) if source == spec.name else {}
        config = fetched(source, lambda: AutoConfig.from_pretrained(source, trust_remote_code=False, **extra))
        if spec.init == "random" and spec.config and source == spec.name:
            config.update(dict(spec.config))
        return config
    settings = {"vocab_size": vocabulary, **(spec.config or {})}
    model_type = str(settings.pop("model_type"))
    if model_type not in CONFIG_MAPPING:
        path, suggestion = "backbone.config.model_type", nearest(model_type, CONFIG_MAPPING.keys())
        raise ModelError(Problem(f"unknown model_type `{model_type}`", path=path, suggestion=suggestion))
    try:
        return AutoConfig.for_model(model_type, **settings)
    except (ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            Problem(f"no {model_type} config of these values: {reason}", path="backbone.config")
        ) from error


def _weights(spec: PretrainedBackbone, config: Any, source: str | None, context: BuildContext) -> Any:
    if source is None:
        return _fresh(spec, config, context)
    options: dict[str, Any] = {"dtype": precision.weights_dtype(spec, context.device), "config": config}
    if source == spec.name:
        options |= _of_the_model(spec)
    if "gguf_file" in options:
        return _plain(_load(source, **options)).to(context.device)
    if spec.quantization is None:
        return _load(source, use_safetensors=True, **options).to(context.device)
    if getattr(config, "quantization_config", None) is None:  # a saved base is quantized already
        options["quantization_config"] = precision.bitsandbytes_config(spec.quantization, context.device)
    return _load(source, use_safetensors=True, device_map={"": context.device}, **options)


def _load(source: str, **options: Any) -> Any:
    return fetched(
        source,
        lambda: AutoModel.from_pretrained(
            source, attn_implementation="eager", trust_remote_code=False, **options
        ),
    )


def _plain(model: Any) -> Any:
    """A model loaded from GGUF is dequantized: plain weights from here on, whatever its config says."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    return model


def _fresh(spec: PretrainedBackbone, config: Any, context: BuildContext) -> Any:
    """Random weights; quantized ones by way of a file, for transformers quantizes only what it loads."""
    if spec.quantization is None:
        dtype = precision.weights_dtype(spec, context.device)
        return AutoModel.from_config(config, attn_implementation="eager", dtype=dtype).to(context.device)
    with tempfile.TemporaryDirectory(prefix="sltk-") as folder:
        AutoModel.from_config(config, attn_implementation="eager", dtype=torch.float32).save_pretrained(
            folder
        )
        return _weights(spec, config, folder, context)


def _set_trainable(backbone: PackedBackbone, spec: PretrainedBackbone, context: BuildContext) -> None:
    model: Any = backbone.model
    if not spec.is_trained_whole:
        model.requires_grad_(False)
    if context.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if spec.lora is not None:
        adapter = context.saved / "adapter" if context.saved else None
        backbone.model = lora.with_adapters(model, spec.lora, adapter)
