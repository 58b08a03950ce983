"""`sltk export`: write a model to a folder that needs no base model and, if possible, no sltk.

    model.safetensors, config.json                       merged weights in the format of the family's transformers token
                                                         classifier (for `type: instruct`, its causal language model)
    base/                                                merged weights alone, if no token classifier is equivalent
    tokenizer/, head.safetensors, sltk.json, imports/    as in the `model/` of a run: see models/saving.py
    manifest.json                                        size and SHA-256 of each file; a README may be added

A custom backbone that is not a transformers model is copied unchanged.

LoRA is merged in float32. Quantized weights are dequantized first. NF4 layers multiply by exactly these values, so
scores differ only by rounding. LLM.int8() also rounds the inputs of its layers, which an exported model does not,
so scores differ in about the second decimal.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
)

from .components.backbones.pretrained import PretrainedBackbone
from .errors import ModelError, UsageError
from .files import atomic, manifest
from .files.writable import check_model_folder
from .models import kinds, memory_advice, saving, tagging
from .models.backbone_files import stored_backbone
from .models.description import read_description
from .models.instruct.model import InstructModel
from .models.tagger_model import TaggerModel
from .nn import adapter_merging
from .nn.packing import Packing
from .run import model_folder
from .runtime.progress import Progress
from .spec.imports import ImportPolicy

_TOLERANCE = 1e-4
_LENGTHS = (7, 4)
"""Lengths of the sentences on which an exported classifier is compared with sltk."""


class _NotPlainError(Exception):
    """transformers alone cannot do what the model does."""


def export(
    run: str | Path, target: str | Path, progress: Progress | None = None, *, trust_code: bool = False
) -> None:
    """Write the model of a run to a new folder, completely or not at all.

    `sltk.load` reads it without the base model. `AutoModelForTokenClassification` reads it too if the blocks of a
    decoder are all causal, or those of an encoder all unmasked, and the head is linear; it gives the same scores, those
    of a word at its first (or last) subword. Otherwise, a note gives the reason. `trust_code` runs the code of the run
    even if this machine did not train it.

    Raises:
        UsageError: `run` is not a finished run, or has code that may not run, or `target` is not an empty folder.
        ModelError: the base model is not available.
    """
    progress, target = progress or Progress(), Path(target)
    _check_free(target)
    folder = model_folder(Path(run), ImportPolicy(trust_code, progress.note))
    backbone, about = stored_backbone(folder, read_description(folder)), manifest.read(folder)
    if not isinstance(backbone, PretrainedBackbone):
        progress.note(f"only sltk can load this export: its backbone has the type `{backbone.type_name}`")
        saving.verify(folder, progress)
        _check_links(folder)
        with atomic.new_folder(target) as partial:  # its base/ already has all weights
            shutil.copytree(folder, partial, dirs_exist_ok=True)
            manifest.write(partial, **about)
        return
    model: TaggerModel | InstructModel = kinds.load(folder, merge=False, progress=progress)
    with memory_advice.saving():
        config, state = adapter_merging.plain_weights(model.network.backbone.model)
    model = replace(model, backbone=_exported_spec(model.backbone))
    with atomic.new_folder(target) as partial:
        try:
            _save_plain(model, config, state, partial, folder / "imports")
        except _NotPlainError as reason:
            progress.note(f"only sltk can load this export: {reason}")
            for path in list(partial.iterdir()):
                atomic.remove(path)
            _save(AutoModel, config, state, partial / "base")
            saving.save_rest(model, partial, {"path": "base"}, folder / "imports")
        manifest.write(partial, **about)


def _check_links(folder: Path) -> None:
    """Refuse to copy a file of whoever exports into the export, because a link in the model leads to it."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"`{path}` is a link that leads out of the model: it was not copied")


def _check_free(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"`{target}` is not empty; choose a new folder")
    check_model_folder(target)


def _exported_spec(spec: Any) -> Any:
    """The backbone after merging: pretrained and plain, in the precision it was used in."""
    removed = ("quantization", "lora", "config", "tokenizer", "gguf_file", "revision")
    changes: dict[str, Any] = dict.fromkeys(removed)
    changes |= {"init": "pretrained", "name": spec.name or "exported", "freeze": True}
    if spec.trains_all_weights and spec.dtype == "auto":
        changes["dtype"] = "float32"
    return spec.model_copy(update=changes)


def _save_plain(
    model: TaggerModel | InstructModel, config: Any, state: Mapping[str, Tensor], folder: Path, imports: Path
) -> None:
    """Save a model that transformers alone can load.

    Raises:
        _NotPlainError: transformers has no equivalent model.
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
    _save(AutoModelForCausalLM, config, base | output, folder)


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
        raise _NotPlainError(f"the token classifier of the family `{config.model_type}` has other layers")
    _save(
        AutoModelForTokenClassification,
        config,
        {f"{prefix}{name}": value for name, value in state.items()} | head,
        folder,
    )


def _check_plain(model: TaggerModel, config: Any) -> None:
    """Refuse models that transformers' token classifiers cannot represent."""
    flags = model.network.backbone.flags
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
        raise _NotPlainError(f"transformers has no token classifier for the family `{config.model_type}`")


def _save(auto_class: Any, config: Any, state: Mapping[str, Tensor], folder: Path) -> None:
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
        _NotPlainError: the scores differ.
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
        raise _NotPlainError(f"scores of transformers' token classifier differ (by {difference:.2g})")
