"""`sltk export`: write a model to a folder that needs no base model and, if possible, no sltk.

    model.safetensors, config.json                       merged weights in the format of the family's transformers token
                                                         classifier (for `type: instruct`, its causal language model)
    base/                                                merged weights alone, if no token classifier is equivalent
    tokenizer/, head.safetensors, sltk.json, imports/    as in the `model/` of a run: see models/saving.py
    README.md, card.json                                 the model card, and the facts that it was made from
    manifest.json                                        size and SHA-256 of each file, except README.md

A custom backbone that is not a transformers model is copied unchanged.

LoRA is merged in float32. Quantized weights are dequantized first. NF4 layers multiply by exactly these values, so
scores differ only by rounding, that of bfloat16 where the device is fast at it. LLM.int8() also rounds the inputs of
its layers, which an exported model does not. A note has the measured difference.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoModel

from ..cards import write_card
from ..components.backbones.pretrained import PretrainedBackbone
from ..decoding import copy_thresholds, read_thresholds
from ..errors import Problem, UsageError, nearest
from ..families import hub_models
from ..files import atomic, manifest
from ..files.damage import read_json
from ..files.writable import check_model_folder
from ..models import integrity, kinds, memory_advice, saving
from ..models.backbone_files import stored_backbone
from ..models.description import DESCRIPTION, read_description
from ..models.instruct.model import InstructModel
from ..models.tagger_model import TaggerModel
from ..nn import adapter_merging
from ..nn.autocast import full_float32
from ..run import model_folder
from ..runtime.progress import Progress
from ..spec.imports import ImportPolicy
from .exported_backbone import exported_spec
from .plain_config import NotPlainError
from .plain_transformers import (
    Weights,
    own_mask,
    save_language_model,
    save_plain_tagger,
    save_reading,
    save_weights,
)
from .quantization_difference import report_difference
from .usage_rules import THRESHOLDS

FORMATS = ("transformers", "onnx")
QUANTIZATIONS = ("int8",)
"""Number formats of an ONNX export, other than float32."""


def export(
    run: str | Path,
    target: str | Path,
    progress: Progress | None = None,
    *,
    format: str = "transformers",
    quantize: str | None = None,
    trust_code: bool = False,
) -> None:
    """Write the model of a run to a new folder, completely or not at all.

    `sltk.load` reads it without the base model. With the format `transformers`, `AutoModelForTokenClassification`
    reads it too if the blocks of a decoder are all causal or all unmasked, or those of an encoder all unmasked, and the
    head is linear; it gives the scores of sltk for the same subwords, and notes say how to get the same subwords.
    Otherwise, a note gives the reason.

    Args:
        run: a finished run, or a model that sltk wrote, in a folder or on the hub.
        target: a folder that does not exist or is empty.
        progress: receives notes.
        format: `transformers`, or `onnx` for a model that runs without torch.
        quantize: `int8` for an ONNX model with 8-bit weights.
        trust_code: run the code of the run even if this machine did not train it.

    Raises:
        UsageError: `run` is not a finished run, or has code that may not run; `target` is not an empty folder; or
            the format is unknown.
        ModelError: the base model is not available.
    """
    progress, target = progress or Progress(), Path(target)
    _check_format(format, quantize)
    _check_free(target)
    source = hub_models.locate(run, trust_code=trust_code)
    folder = model_folder(source, ImportPolicy(trust_code, progress.note))
    if read_description(folder).get("type") == "onnx":
        raise UsageError(f"`{run}` is an ONNX export, which only labels: export the run that it comes from")
    with full_float32():
        if format == "onnx":
            from .onnx_exporter import export_onnx  # needs an extra

            export_onnx(folder, source, target, progress, quantize=quantize)
        else:
            _export_transformers(folder, source, target, progress)


def _export_transformers(folder: Path, run: Path, target: Path, progress: Progress) -> None:
    """Write the model in `folder`, which is that of `run`."""
    backbone, about = stored_backbone(folder, read_description(folder)), manifest.read(folder)
    if not isinstance(backbone, PretrainedBackbone):
        progress.note(f"only sltk can load this export: its backbone has the type `{backbone.type_name}`")
        integrity.verify(folder, progress)
        _check_links(folder)
        with atomic.new_folder(target) as partial:  # its base/ already has all weights
            shutil.copytree(folder, partial, dirs_exist_ok=True)
            write_card(partial, run)
            manifest.write(partial, **about)
        return
    model: TaggerModel | InstructModel = kinds.load(folder, merge=False, progress=progress)
    model.network.backbone.precision = "fp32"  # with the weights of the precision in which it was trained
    trained = model.network.backbone.model
    config = adapter_merging.plain_config(trained)

    def weights() -> Mapping[str, Tensor]:
        with memory_advice.saving():
            return adapter_merging.plain_weights(trained)[1]

    exported = replace(model, backbone=exported_spec(model.backbone))
    with atomic.new_folder(target) as partial:
        try:
            about_use = _save_plain(exported, config, weights, partial, folder, progress)
        except NotPlainError as reason:
            progress.note(f"only sltk can load this export: {reason}")
            for path in list(partial.iterdir()):
                atomic.remove(path)
            about_use = _save_base(exported, config, weights, partial, folder / "imports")
            about_use["reason"] = str(reason)
        description = partial / DESCRIPTION
        atomic.write_json(description, {**read_json(description), "transformers": about_use})
        if getattr(model.backbone, "quantization", None) is not None:
            report_difference(model, partial, progress)
        copy_thresholds(folder, partial)
        write_card(partial, run)
        manifest.write(partial, **about)


def _save_plain(
    model: TaggerModel | InstructModel,
    config: Any,
    weights: Weights,
    folder: Path,
    source: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Save a model from `source` that transformers alone can load, and note the rules for using it there.

    Returns:
        What sltk.json says of its use in transformers.

    Raises:
        NotPlainError: transformers has no equivalent model.
    """
    if isinstance(model, InstructModel):
        save_language_model(model, config, weights, folder, source / "imports")
        return {"class": "AutoModelForCausalLM"}
    agreement = save_plain_tagger(model, config, weights, folder, source / "imports")
    if read_thresholds(source) is not None:
        agreement = replace(agreement, rules=[*agreement.rules, THRESHOLDS])
    progress.note(
        f"transformers gives the scores of sltk on {agreement.texts} texts and lists of words: they differ by at most "
        f"{agreement.difference:.1g}"
    )
    for rule in agreement.rules:
        progress.note(f"in transformers: {rule}")
    return {"class": "AutoModelForTokenClassification", **asdict(agreement)}


def _save_base(
    model: TaggerModel | InstructModel, config: Any, weights: Weights, folder: Path, imports: Path
) -> dict[str, Any]:
    """Save a model with its merged weights in `base/`, which `AutoModel` reads if transformers has its mask."""
    try:
        config, auto_class = own_mask(model, config), "AutoModel"
    except NotPlainError:
        auto_class = None
    save_weights(AutoModel, config, weights(), folder / "base")
    if auto_class is not None and isinstance(model, TaggerModel):
        save_reading(model, folder / "base")
    saving.save_rest(model, folder, {"path": "base"}, imports)
    return {"class": auto_class, "path": "base"}


def _check_format(format: str, quantize: str | None) -> None:
    if format not in FORMATS:
        raise UsageError(_unknown("format", format, FORMATS))
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise UsageError(_unknown("quantization", quantize, QUANTIZATIONS))
    if quantize is not None and format != "onnx":
        raise UsageError(Problem(f"`{quantize}` is for ONNX exports only", notes=("add `--format onnx`",)))


def _unknown(what: str, name: str, known: tuple[str, ...]) -> Problem:
    note = f"one of: {', '.join(known)}"
    return Problem(f"unknown {what} `{name}` of an export", suggestion=nearest(name, known), notes=(note,))


def _check_links(folder: Path) -> None:
    """Refuse to copy a file of whoever exports into the export, because a link in the model leads to it."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"`{path}` is a link that leads out of the model: it was not copied")


def _check_free(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"`{target}` is not empty; choose a new folder")
    check_model_folder(target)
