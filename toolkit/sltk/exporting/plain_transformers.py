"""A model as a plain transformers model: merged weights in the format of the family's own class.

A tagger becomes the family's token classifier; an instruction-tuned model becomes its causal language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
)

from ..components.aligners.subword import shift_of
from ..errors import ModelError
from ..models import saving, tagging
from ..models.instruct.model import InstructModel
from ..models.tagger_model import TaggerModel
from .exported_backbone import load_exported
from .exported_tokenizer import save_tokenizer
from .plain_config import NotPlainError, plain_config
from .text_agreement import Agreement, check_agreement

Weights = Callable[[], Mapping[str, Tensor]]
"""Computes the merged weights, which are not kept: they may be a second copy of the model."""


def save_plain_tagger(
    model: TaggerModel, config: Any, weights: Weights, folder: Path, imports: Path
) -> Agreement:
    """Save a tagger as a token classifier of transformers, and compare both on text.

    Raises:
        NotPlainError: transformers has no equivalent model.
    """
    _check_head(model)
    config = own_mask(model, config)
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise NotPlainError(f"transformers has no token classifier for the family `{config.model_type}`")
    _save_classifier(model, config, weights(), folder)
    saving.save_rest(model, folder, {"path": "."}, imports)
    save_reading(model, folder)
    return check_agreement(load_exported(tagging, folder), folder)


def save_reading(model: TaggerModel, folder: Path) -> None:
    """Save the tokenizer so that transformers reads text as the model does."""
    backbone = model.network.backbone
    limit = model.max_length or backbone.max_length
    save_tokenizer(backbone.tokenizer, folder, spacing=model.spacing, max_length=limit)


def save_language_model(
    model: InstructModel, config: Any, weights: Weights, folder: Path, imports: Path
) -> None:
    """Save an instruction-tuned model as a causal language model of transformers."""
    whole: Any = model.network.backbone.language_model
    prefix = f"{whole.base_model_prefix}."
    output = {name: value.cpu() for name, value in whole.state_dict().items() if not name.startswith(prefix)}
    base = {f"{prefix}{name}": value for name, value in weights().items()}
    save_weights(AutoModelForCausalLM, own_mask(model, config), base | output, folder)
    saving.save_rest(model, folder, {"path": "."}, imports)
    model.network.backbone.tokenizer.save_pretrained(folder)


def own_mask(model: TaggerModel | InstructModel, config: Any) -> Any:
    """The config with which transformers gives each block the mask of the model.

    Raises:
        NotPlainError: transformers has no such mask.
    """
    spec: Any = model.backbone
    if spec.repeat:
        raise NotPlainError(f"it reads each sentence {spec.copies} times, and transformers reads it once")
    return plain_config(
        config,
        model.network.backbone.flags,
        is_encoder=spec.type_name == "encoder",
        drop_window=spec.unmask_window == "drop",
        window=model.network.backbone.window,
    )


def _check_head(model: TaggerModel) -> None:
    """Refuse heads and aligners that transformers' token classifiers do not have."""
    if model.head.type_name != "linear":
        raise NotPlainError(
            f"transformers' token classifiers are linear, and the head is `{model.head.type_name}`"
        )
    if model.aligner.type_name not in ("first_subword", "last_subword"):
        raise NotPlainError(f"it labels subwords, and the aligner is `{model.aligner.type_name}`")
    if shift_of(model.aligner):
        raise NotPlainError("it labels subwords by their own vectors, and the aligner has `shift: -1`")


def _save_classifier(model: TaggerModel, config: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    config.id2label = dict(enumerate(model.labels.tags))
    config.label2id = dict(model.labels.index)
    skeleton = _skeleton(AutoModelForTokenClassification, config)
    prefix = f"{skeleton.base_model_prefix}."
    shapes = {name: value.shape for name, value in skeleton.named_parameters() if not name.startswith(prefix)}
    scorer: Any = model.network.head.scorer
    linear = scorer.layers[-1].state_dict()
    head = {
        name: linear[key].cpu() for name in shapes if (key := name.rpartition(".")[2]) in ("weight", "bias")
    }
    if len(shapes) != 2 or {name: value.shape for name, value in head.items()} != shapes:
        raise NotPlainError(f"the token classifier of the family `{config.model_type}` has other layers")
    weights = {f"{prefix}{name}": value for name, value in state.items()} | head
    save_weights(AutoModelForTokenClassification, config, weights, folder)


def save_weights(auto_class: Any, config: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    """Save weights as a transformers model; entries of `state` that it does not have are ignored."""
    model = _skeleton(auto_class, config)
    names = model.state_dict().keys()
    known = {name: value for name, value in state.items() if name in names}
    missing = model.load_state_dict(known, strict=False, assign=True).missing_keys
    if missing:
        raise ModelError(f"the merged weights lack {', '.join(missing[:3])}")
    model.tie_weights()
    model.save_pretrained(folder)


def _skeleton(auto_class: Any, config: Any) -> Any:
    """A model without weights."""
    with torch.device("meta"):
        return auto_class.from_config(config)
