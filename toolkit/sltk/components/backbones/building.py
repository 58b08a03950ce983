"""Build a backbone: weights, tokenizer, quantization, mask with its proof, LoRA."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoTokenizer

from ... import masks
from ...errors import ModelError, Problem, nearest
from ...families.position_limit import position_limit
from ...files import manifest
from ...files.damage import check_regular, damaged, is_about_content, report_damage
from ...nn import fused
from ...nn.backbone import BuildContext, PackedBackbone
from . import copy_limits, local_tokenizer, lora
from .attention_setup import apply_mask
from .base_weights import identify_base
from .early_exit import EarlyExit, exit_early
from .exported import download_export, verify_source
from .fetching import fetch, from_config_values
from .gguf_conversion import converted
from .pretrained import TrainedTokenizer
from .stored_weights import check_config, check_finite, check_total
from .weights import (
    WeightsSource,
    check_family,
    load_shared_weights,
    source_of,
    text_part,
    tokenizer_options,
    version_options,
)

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone


def build_backbone(spec: PretrainedBackbone, context: BuildContext) -> PackedBackbone:
    """Build the model that `spec` describes on the device of `context`, and prove its mask.

    Raises:
        ModelError: the model cannot be loaded or unmasked, or the mask or LoRA targets do not fit it.
    """
    if not context.base and context.saved is None:
        download_export(spec)
    with converted(spec, context) as (readable, at, gguf_base):
        return _build(readable, at, gguf_base)


def _build(
    spec: PretrainedBackbone, context: BuildContext, gguf_base: dict[str, Any] | None
) -> PackedBackbone:
    """Build a model from a directory, from the hub, or with fresh weights; `gguf_base` identifies a converted one."""
    tokenizer = _tokenizer(spec, context)
    source = source_of(spec, context)
    folder = source.folder if source is not None else None
    if source is not None and folder is not None:
        verify_source(source, folder)
    headers = check_config(folder) if folder is not None else {}
    whole = _config(spec, source, len(tokenizer))
    config = text_part(whole)
    if source is not None:
        source = replace(source, is_multimodal=config is not whole)
    early_exit = _early_exit(spec, config, source)
    if early_exit is not None:
        config = early_exit.config
    flags = _check_shape(spec, config)
    if folder is not None and headers:
        check_total(_skeleton(config), headers, folder)
    torch.manual_seed(context.seed)
    model = load_shared_weights(spec, config, source, context, early_exit)
    if context.saved is not None and not manifest.exists(context.saved):
        _check_vocabulary(tokenizer, model, context.saved)
        check_finite(model, context.saved if folder is None else folder)
    base_model = model.base_model if context.language_model else model
    backbone = apply_mask(base_model, tokenizer, flags, spec, context)
    backbone.language_model = model if context.language_model else None
    if source is not None and not source.is_inside_run:
        backbone.base = gguf_base or identify_base(source.name, source.options.get("revision"))
    _set_trainable(backbone, spec, context)
    if context.fuse:
        fused.fuse(backbone)
    return backbone


def _early_exit(spec: PretrainedBackbone, config: Any, source: WeightsSource | None) -> EarlyExit | None:
    """How to shorten the model to its first blocks; None if it has no others.

    Raises:
        ModelError: it has too few blocks, or its family cannot be shortened.
        UsageError: the blocks of a saved model are not those of its spec.
    """
    if spec.blocks == "all":
        return None
    total = check_family(config)
    if source is not None and source.is_inside_run and total != spec.blocks:
        about = f"it describes a model of {total} blocks, expected {spec.blocks}"
        raise damaged(Path(source.name) / "config.json", about)
    return None if total == spec.blocks else exit_early(config, spec.blocks, total, _skeleton)


def _check_shape(spec: PretrainedBackbone, config: Any) -> tuple[bool, ...]:
    """Check mask, copies and LoRA targets against the config, without weights, and return the flags of the mask.

    Raises:
        ModelError: they do not fit the model.
    """
    blocks = check_family(config)
    too_short = copy_limits.shortage(spec.repeat, position_limit(config.to_dict()))
    if too_short is not None:
        raise ModelError(too_short)
    try:
        flags = masks.flags(spec.unmask, blocks)
    except masks.MaskError as error:
        raise ModelError(Problem(str(error), path="backbone.unmask")) from error
    if spec.lora is not None:
        skeleton = _skeleton(config)
        lora.targets(skeleton, spec.lora.target_modules)
        lora.saved_modules(skeleton, spec.lora, quantized=spec.quantization is not None)
    return flags


def _skeleton(config: Any) -> Any:
    """The model of a config, without memory for its weights."""
    make = functools.partial(AutoModel.from_config, config, attn_implementation="eager")
    with torch.device("meta"):
        return from_config_values(config.model_type, make)


def _check_vocabulary(tokenizer: Any, model: Any, saved: Path) -> None:
    """Check that every token of a saved tokenizer, except added ones, has a row in the embedding.

    Raises:
        UsageError: it is the tokenizer of another model.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    own = tokenizer.get_vocab().items() - tokenizer.get_added_vocab().items()
    largest = max((number for _, number in own), default=0)
    if largest >= rows:
        about = f"it numbers its tokens up to {largest}, and the embedding of the model has {rows} rows"
        raise damaged(saved / "tokenizer" / "tokenizer.json", about)


def _tokenizer(spec: PretrainedBackbone, context: BuildContext) -> Any:
    if isinstance(spec.tokenizer, TrainedTokenizer):
        return tokenizer_for(context, spec.tokenizer.vocab_size)
    if context.saved is not None:
        return _saved_tokenizer(context.saved)
    name = spec.tokenizer or spec.name
    assert name is not None
    options = tokenizer_options(spec)
    return fetch(name, lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=False, **options))


def tokenizer_for(context: BuildContext, vocab_size: int) -> Any:
    """The tokenizer of a saved model, or a new tokenizer trained on the training text.

    Raises:
        ModelError: `context` has neither a saved model nor training text.
    """
    if context.saved is not None:
        return _saved_tokenizer(context.saved)
    if context.texts is None:
        raise ModelError("cannot train a tokenizer: there is no training text")
    tokenizer = train_tokenizer(context.texts(), vocab_size)
    if context.language_model:  # for every objective, so that their models have the same size
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
    return tokenizer


def _saved_tokenizer(model: Path) -> Any:
    folder = model / "tokenizer"
    with report_damage(folder):
        check_regular(folder)
        try:
            return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        except BaseException as error:
            if is_about_content(error):
                local_tokenizer.check(folder)  # names the file
            raise


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """Train a byte-level BPE tokenizer on `texts`; it can encode any text."""
    from transformers import PreTrainedTokenizerFast

    backend = local_tokenizer.train(texts, vocab_size)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **local_tokenizer.TRAINED_SPECIAL)


def _config(spec: PretrainedBackbone, source: WeightsSource | None, vocab_size: int) -> Any:
    if source is not None:
        return _read_config(source, {})
    if spec.name is not None:
        return _read_config(WeightsSource(spec.name, version_options(spec)), dict(spec.config or {}))
    settings = {"vocab_size": vocab_size, **(spec.config or {})}
    model_type = str(settings.pop("model_type"))
    if model_type not in CONFIG_MAPPING:
        path, suggestion = "backbone.config.model_type", nearest(model_type, CONFIG_MAPPING.keys())
        raise ModelError(Problem(f"unknown model_type `{model_type}`", path=path, suggestion=suggestion))
    return from_config_values(model_type, lambda: AutoConfig.for_model(model_type, **settings))


def _read_config(source: WeightsSource, changes: dict[str, Any]) -> Any:
    read = functools.partial(AutoConfig.from_pretrained, source.name, trust_remote_code=False)
    config = fetch(source.name, lambda: read(**source.options))
    config.update(changes)
    return config


def _set_trainable(backbone: PackedBackbone, spec: PretrainedBackbone, context: BuildContext) -> None:
    model: Any = backbone.model
    if not spec.trains_all_weights:
        (backbone.language_model or model).requires_grad_(False)
    if context.gradient_checkpointing:
        backbone.enable_checkpointing()
    if spec.lora is not None:
        adapter = context.saved / "adapter" if context.saved else None
        backbone.model = lora.with_adapters(model, spec.lora, adapter)
        if spec.adapter is not None and adapter is None:
            lora.start_from(
                backbone.model,
                spec.adapter,
                backbone.base,
                unmask=spec.unmask,
                flags=backbone.flags,
                blocks=spec.blocks,
            )
