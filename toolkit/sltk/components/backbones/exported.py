"""Exports of sltk as base models: found on the hub by name, verified, and refused if they have no weights to train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ModelError, Problem
from ...families import hub_models, model_files
from ...files import manifest

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone
    from .weights import WeightsSource


def download_export(spec: PretrainedBackbone) -> None:
    """Download the base model if it is an export of sltk on the hub, because transformers knows only some of its files.

    Any other model, or a hub that cannot be asked, is left to whoever loads the model.

    Raises:
        UsageError: it has files that are refused.
    """
    name = spec.name
    if name is None or spec.gguf_file is not None or hub_models.parse(name) is None:
        return
    if model_files.find(name, spec.revision) is None and hub_models.is_export(name, spec.revision):
        hub_models.download(name, spec.revision)


def verify_source(source: WeightsSource, folder: Path) -> None:
    """Compare a base model, whose weights are in `folder`, with its manifest, if sltk wrote one.

    Raises:
        UsageError: a file differs.
        ModelError: it is an ONNX export.
    """
    root = folder
    if not source.is_inside_run:  # else its manifest has been verified, and covers `base/`
        root = model_files.find_export(source.name, source.options.get("revision")) or folder
    if (root / "model.onnx").exists() and not any(folder.glob("*.safetensors")):
        note = "name the run, or an export of it for transformers"
        about = f"`{root}` is an ONNX export, which has no weights to train from"
        raise ModelError(Problem(about, path="backbone.name", notes=(note,)))
    if not manifest.is_foreign(root):
        manifest.verify(root)
