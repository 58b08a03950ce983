"""`sltk export`: a model whole, in a folder that needs neither its base model nor, where possible, sltk.

    model.safetensors, config.json   merged weights, as transformers' own token classifier of the family
    base/                            merged weights alone, where transformers has no classifier that is equal
                                     (a model that writes spans: as the family's causal language model)
    tokenizer/, head.safetensors, sltk.json, imports/          as in a run's `model/`: see checkpoint.py

A backbone of one's own that is no transformers model is copied as it is.

LoRA is merged in float32. Quantized weights are dequantized first: of NF4 the very numbers that were multiplied
with are kept, so scores differ by rounding; LLM.int8() also rounds the inputs of its layers, which an exported
model does not, so its scores differ in the second decimal or so.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
)

from .components.backbones.pretrained import PretrainedBackbone
from .components.registry import registry
from .errors import ModelError, UsageError
from .files import atomic
from .models import saving
from .models.instruct import model as instruct
from .models.saving import TaggerModel
from .nn import merging
from .nn.packing import Packing
from .run import model_folder
from .runtime.progress import Progress

_TOLERANCE = 1e-4
_PROBE = (7, 4)
"""Lengths of the sentences on which an exported classifier is compared with sltk's own."""


class _NotPlainError(Exception):
    """Why transformers alone cannot do what the model does."""


def export(run: str | Path, target: str | Path, progress: Progress | None = None) -> None:
    """Write the model of a run to a new folder, which appears whole or not at all.

    `sltk.load` reads it without the base model. Where the blocks of a decoder are all causal, or those of an
    encoder all unmasked, and the head is linear, `AutoModelForTokenClassification` reads it too and gives the
    same scores, a word's at its first (or last) subword; where not, a note says why.

    Raises:
        UsageError: there is no finished run, or `target` holds something already.
        ModelError: the base model cannot be had.
    """
    progress, target = progress or Progress(), Path(target)
    _check_free(target)
    folder = model_folder(Path(run), progress)
    description = saving.describe(folder)
    if description.get("type") == "instruct":
        _export_language_model(folder, target)
        return
    own = description["components"]["backbone"]["type"]
    if not issubclass(registry.find("backbone", own), PretrainedBackbone):
        progress.note(f"only sltk can load this export: its backbone is of type `{own}`")
        with atomic.new_folder(target) as partial:  # nothing to merge: the model is whole as it is
            shutil.copytree(folder, partial, dirs_exist_ok=True)
        return
    model = saving.load(folder, merge=False)
    assert isinstance(model.backbone, PretrainedBackbone)
    config, state = merging.plain_weights(model.tagger.backbone.model)
    exported = replace(model, backbone=_exported_spec(model.backbone))
    with atomic.new_folder(target) as partial:
        try:
            _save_classifier(exported, config, state, partial)
            saving.save_rest(exported, partial, {"path": "."}, folder / "imports")
            _compare(partial)
            exported.tagger.backbone.tokenizer.save_pretrained(partial)
        except _NotPlainError as reason:
            progress.note(f"only sltk can load this export: {reason}")
            _empty(partial)
            _save(AutoModel, config, state, partial / "base")
            saving.save_rest(exported, partial, {"path": "base"}, folder / "imports")


def _export_language_model(folder: Path, target: Path) -> None:
    """Write a model that writes spans as transformers' own causal language model of the family."""
    model = instruct.load(folder, merge=False)
    assert isinstance(model.backbone, PretrainedBackbone)
    config, state = merging.plain_weights(model.network.backbone.model)
    whole: Any = model.network.backbone.language_model
    prefix = f"{whole.base_model_prefix}."
    output = {name: value.cpu() for name, value in whole.state_dict().items() if not name.startswith(prefix)}
    exported = replace(model, backbone=_exported_spec(model.backbone))
    with atomic.new_folder(target) as partial:
        named = {f"{prefix}{name}": value for name, value in state.items()}
        _save(AutoModelForCausalLM, config, named | output, partial)
        exported.network.backbone.tokenizer.save_pretrained(partial)
        instruct.save_rest(exported, partial, {"path": "."}, folder / "imports")


def _check_free(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise UsageError(f"`{target}` is not empty; choose a new folder")
    elif target.exists():
        raise UsageError(f"`{target}` is not a directory")


def _exported_spec(spec: PretrainedBackbone) -> PretrainedBackbone:
    """The backbone as it is after merging: pretrained, plain, in the precision it was used in."""
    changes: dict[str, Any] = dict.fromkeys(
        ("quantization", "lora", "config", "tokenizer", "gguf_file", "revision")
    )
    changes |= {"init": "pretrained", "name": spec.name or "exported", "freeze": True}
    if spec.is_trained_whole and spec.dtype == "auto":
        changes["dtype"] = "float32"
    return spec.model_copy(update=changes)


def _save_classifier(model: TaggerModel, config: Any, state: dict[str, Tensor], folder: Path) -> None:
    """Save as transformers' token classifier.

    Raises:
        _NotPlainError: it would not be equal.
    """
    _check_plain(model, config)
    config = copy.deepcopy(config)
    config.id2label = dict(enumerate(model.labels.tags))
    config.label2id = dict(model.labels.index)
    skeleton = _skeleton(AutoModelForTokenClassification, config)
    prefix = f"{skeleton.base_model_prefix}."
    own = {name: value.shape for name, value in skeleton.named_parameters() if not name.startswith(prefix)}
    linear: Any = model.tagger.head.scorer.layers[-1]  # type: ignore[union-attr,index]
    weights = {"weight": linear.weight.detach().cpu(), "bias": linear.bias.detach().cpu()}
    named = {name: weights[name.rsplit(".", 1)[-1]] for name in own if name.rsplit(".", 1)[-1] in weights}
    if len(own) != 2 or any(named[name].shape != shape for name, shape in own.items()):
        raise _NotPlainError(f"the token classifier of the family `{config.model_type}` has other layers")
    whole = {f"{prefix}{name}": value for name, value in state.items()}
    kept = {name: value for name, value in {**whole, **named}.items() if name in skeleton.state_dict()}
    _fill(skeleton, kept)
    skeleton.save_pretrained(folder)


def _check_plain(model: TaggerModel, config: Any) -> None:
    """Refuse what transformers' token classifiers do not do."""
    flags = model.tagger.backbone.flags
    if model.head.type_name != "linear":
        raise _NotPlainError(
            f"transformers' token classifiers are linear, and the head is `{model.head.type_name}`"
        )
    if model.aligner.type_name not in ("first_subword", "last_subword"):
        raise _NotPlainError(f"it labels subwords, and the aligner is `{model.aligner.type_name}`")
    if model.backbone.type_name == "decoder" and any(flags):
        raise _NotPlainError("plain transformers cannot remove the causal mask of a decoder's blocks")
    if model.backbone.type_name == "encoder" and not all(flags):
        raise _NotPlainError("plain transformers cannot make an encoder's blocks causal")
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise _NotPlainError(f"transformers has no token classifier of the family `{config.model_type}`")


def _save(kind: Any, config: Any, state: dict[str, Tensor], folder: Path) -> None:
    skeleton = _skeleton(kind, config)
    _fill(skeleton, {name: value for name, value in state.items() if name in skeleton.state_dict()})
    skeleton.tie_weights()
    skeleton.save_pretrained(folder)


def _skeleton(kind: Any, config: Any) -> Any:
    """A model without weights."""
    with torch.device("meta"):
        return kind.from_config(config)


def _fill(skeleton: nn.Module, state: dict[str, Tensor]) -> None:
    missing = skeleton.load_state_dict(state, strict=False, assign=True).missing_keys
    if missing:
        raise ModelError(f"the merged weights lack {', '.join(missing[:3])}")


def _compare(folder: Path) -> None:
    """See that transformers gives the scores that sltk gives, both from what was written.

    Raises:
        _NotPlainError: it does not.
    """
    model = saving.load(folder)
    backbone = model.tagger.backbone
    other = (
        AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).to(model.device).eval()
    )
    size = int(other.get_input_embeddings().weight.shape[0])
    ids = torch.tensor([(5 + 13 * i) % size for i in range(sum(_PROBE))], device=model.device)
    with torch.inference_mode():
        ours = model.tagger.head.scorer(backbone(ids, Packing.of_lengths(_PROBE)))  # type: ignore[operator]
        pieces = [other(input_ids=piece.unsqueeze(0)).logits[0] for piece in torch.split(ids, list(_PROBE))]
    theirs = torch.cat(pieces)
    half = next(backbone.parameters()).dtype != torch.float32
    if not torch.allclose(ours, theirs.float(), atol=0.05 if half else _TOLERANCE):
        difference = float((ours - theirs).abs().max())
        raise _NotPlainError(f"transformers' token classifier gives other scores (by {difference:.2g})")


def _empty(folder: Path) -> None:
    for path in list(folder.iterdir()):
        atomic.remove(path)
