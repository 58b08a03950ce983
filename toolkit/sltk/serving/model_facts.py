"""What `/info` says of a model, read from the files of its run or export."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .._version import __version__
from ..decoding import read_thresholds
from ..files import manifest
from ..files.damage import read_json
from ..models.description import is_model, read_description
from ..schemes import OUTSIDE
from ..schemes.labels import LabelSet

_SCORES = ("precision", "recall", "f1", "accuracy", "support", "signature")
_PACKAGES = ("torch", "transformers", "onnxruntime", "tokenizers", "fastapi", "uvicorn")


def describe_model(folder: Path) -> dict[str, Any]:
    """The content of `/info` for a run directory or an exported model.

    Raises:
        UsageError: it has no model, or a damaged one.
    """
    is_export = is_model(folder)
    model = folder if is_export else folder / "model"
    description, thresholds = read_description(model), read_thresholds(model)
    environment, metrics = ({} if is_export else _stored(folder / f"{name}.json") for name in _FILES)
    scores = {
        split: {name: metrics[split][name] for name in _SCORES if name in metrics[split]}
        for split in ("validation", "test")
        if isinstance(metrics.get(split), dict)
    }
    return {
        "name": folder.resolve().name,
        "digest": manifest.digest_of(model),
        "format": "onnx" if description.get("type") == "onnx" else "sltk",
        "labels": description["labels"],
        "types": _types(LabelSet(tuple(description["labels"]), description["scheme"])),
        "scheme": description["scheme"],
        "mask": _mask(description["mask"]),
        "proof": environment.get("mask_proof"),
        "scores": scores or None,
        "thresholds": thresholds.values() if thresholds else None,
        "versions": {"sltk": __version__, "python": platform.python_version(), **_versions()},
    }


_FILES = ("environment", "metrics")


def _stored(path: Path) -> dict[str, Any]:
    return read_json(path) if os.path.lexists(path) else {}


def _types(labels: LabelSet) -> list[str]:
    """The types that a client can show: those of spans, or plain tags except `O`."""
    return list(labels.types) or [tag for tag in labels.tags if tag != OUTSIDE]


def _mask(mask: dict[str, Any]) -> dict[str, Any] | None:
    flags = mask["flags"]
    if not flags:
        return None
    unmasked = [block for block, flag in enumerate(flags) if flag == "1"]
    return {"notation": mask["unmask"], "blocks": len(flags), "unmasked": unmasked}


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
