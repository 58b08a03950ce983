"""A model as a plain transformers model: merged weights in the format of the family's own class.

A tagger becomes the family's token classifier; an instruction-tuned model becomes its causal language model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
)

from ..errors import ModelError
from ..models import saving, tagging
from ..models.instruct.model import InstructModel
from ..models.tagger_model import TaggerModel
from ..nn.packing import Packing

_TOLERANCE = 1e-4
_LENGTHS = (7, 4)
"""Lengths of the sentences on which an exported classifier is compared with sltk."""


class NotPlainError(Exception):
    """transformers alone cannot do what the model does."""


def save_plain(
    model: TaggerModel | InstructModel, config: Any, state: Mapping[str, Tensor], folder: Path, imports: Path
) -> None:
    """Save a model that transformers alone can load.

    Raises:
        NotPlainError: transformers has no equivalent model.
    """
    if isinstance(model, TaggerModel):
        _save_classifier(model, config, state, folder)
    else:
        _save_language_model(model, config, state, folder)
    saving.save_rest(model, folder, {"path": "."}, imports)
    if isinstance(model, TaggerModel):
        _compare(folder)
    model.network.backbone.tokenizer.save_pretrained(folder)


def _save_language_model(
    model: InstructModel, config: Any, state: Mapping[str, Tensor], folder: Path
) -> None:
    whole: Any = model.network.backbone.language_model
    prefix = f"{whole.base_model_prefix}."
    output = {name: value.cpu() for name, value in whole.state_dict().items() if not name.startswith(prefix)}
    base = {f"{prefix}{name}": value for name, value in state.items()}
    save_weights(AutoModelForCausalLM, config, base | output, folder)


def _save_classifier(model: TaggerModel, config: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    _check_plain(model, config)
    config = copy.deepcopy(config)
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
    save_weights(
        AutoModelForTokenClassification,
        config,
        {f"{prefix}{name}": value for name, value in state.items()} | head,
        folder,
    )


def _check_plain(model: TaggerModel, config: Any) -> None:
    """Refuse models that transformers' token classifiers cannot represent."""
    flags = model.network.backbone.flags
    if model.head.type_name != "linear":
        raise NotPlainError(
            f"transformers' token classifiers are linear, and the head is `{model.head.type_name}`"
        )
    if model.aligner.type_name not in ("first_subword", "last_subword"):
        raise NotPlainError(f"it labels subwords, and the aligner is `{model.aligner.type_name}`")
    if model.backbone.type_name == "decoder" and any(flags):
        raise NotPlainError("plain transformers cannot remove the causal mask of a decoder's blocks")
    if model.backbone.type_name == "encoder" and not all(flags):
        raise NotPlainError("plain transformers cannot make an encoder's blocks causal")
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise NotPlainError(f"transformers has no token classifier for the family `{config.model_type}`")


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


def _compare(folder: Path) -> None:
    """Check that transformers gives the same scores as sltk when both load the export.

    Raises:
        NotPlainError: the scores differ.
    """
    model = tagging.load(folder)
    backbone = model.network.backbone
    scorer: Any = model.network.head.scorer
    other = (
        AutoModelForTokenClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        .to(model.device)
        .eval()
    )
    size = int(other.get_input_embeddings().weight.shape[0])
    ids = torch.tensor([(5 + 13 * i) % size for i in range(sum(_LENGTHS))], device=model.device)
    with torch.inference_mode():
        ours = scorer(backbone(ids, Packing.of_lengths(_LENGTHS)))
        pieces = [other(input_ids=piece.unsqueeze(0)).logits[0] for piece in torch.split(ids, list(_LENGTHS))]
    theirs = torch.cat(pieces)
    is_half = next(backbone.parameters()).dtype != torch.float32
    if not torch.allclose(ours, theirs.float(), atol=0.05 if is_half else _TOLERANCE):
        difference = float((ours - theirs).abs().max())
        raise NotPlainError(f"scores of transformers' token classifier differ (by {difference:.2g})")
