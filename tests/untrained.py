"""Models with random weights, saved without training: to export and load them takes well below a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import tiny
from sltk.models import tagging
from sltk.models.tagger_model import TaggerModel
from sltk.spec import loading


def build(backbone: dict[str, Any], *, noise: float = 0.2, **changes: Any) -> TaggerModel:
    """A tagger whose random weights make every subword count.

    Args:
        backbone: the backbone of the spec.
        noise: what is added to each weight, times a normal deviate.
        changes: further keys of the spec; `spacing` is a key of the aligner.
    """
    spacing = changes.pop("spacing", "single")
    aligner = {"type": "first_subword", "spacing": spacing, **changes.pop("aligner", {})}
    spec = loading.load(tiny.spec(backbone=backbone, aligner=aligner, **changes)).spec
    model = tagging.build(spec, tagging.load_splits(spec)["train"])
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.network.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.add_(noise * torch.randn(parameter.shape, generator=draw))
    return model


def save(folder: Path, backbone: dict[str, Any], **options: Any) -> Path:
    """Save such a tagger in a new folder, and return the folder."""
    tagging.save(build(backbone, **options), folder, folder.parent / "no-imports")
    return folder
