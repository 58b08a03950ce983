"""The shape and size of a pretrained model, found without loading it.

The shape comes from the spec, from a directory or the hub's cache on this machine (config.json, headers of safetensors
files), or from the table of known models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..components.backbones.pretrained import PretrainedBackbone, TrainedTokenizer
from ..families import model_files
from ..families.model_shape import Shape, shape
from ..families.model_tables import FAMILIES, REFUSED, known_config

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class ModelInfo:
    """A pretrained model as described by files on this machine or the built-in tables."""

    name: str | None
    family: str | None = None
    shape: Shape | None = None
    download_bytes: int | None = None
    """None if unknown."""
    notes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, backbone: PretrainedBackbone) -> ModelInfo:
        """Look up the model of a backbone.

        Raises:
            ModelError: the model's files on this machine are damaged.
        """
        name = backbone.name
        if backbone.gguf_file:
            return cls(name, notes=("the shape of a GGUF file is read when it is loaded",))
        folder = model_files.find(name, backbone.revision) if name else None
        config = model_files.read_config(folder) if folder else known_config(name) if name else {}
        if config is None:
            return cls(name, download_bytes=0 if folder else None, notes=(_unknown_model(name, folder),))
        if backbone.init == "random":
            config = _vocabulary(backbone) | config | (backbone.config or {})
        family = str(config.get("model_type"))
        model = shape(config)
        notes: tuple[str, ...] = ()
        if model is None and folder is not None:
            model = model_files.shape_of_headers(config, model_files.read_headers(folder))
        if model is None and family not in REFUSED:
            notes = (_unknown_shape(family),)
        is_local = folder is not None or backbone.init == "random"
        download = 0 if is_local else _published_bytes(config, model)
        return cls(name, family, model, download, notes, config)


def _vocabulary(backbone: PretrainedBackbone) -> dict[str, Any]:
    tokenizer = backbone.tokenizer
    return {"vocab_size": tokenizer.vocab_size} if isinstance(tokenizer, TrainedTokenizer) else {}


def _published_bytes(config: dict[str, Any], model: Shape | None) -> int | None:
    """Size of the published weights, which include the output embedding unless it is tied to the input embedding."""
    if model is None or "stored" not in config:
        return None
    output = 0 if model.tied else model.sizes["vocabulary"] * model.sizes["hidden"]
    return (model.parameters + output) * DTYPE_BYTES[config["stored"]]


def _unknown_model(name: str | None, folder: Path | None) -> str:
    if folder is not None:
        return f"`{name}` has no config.json: the size of the model is unknown"
    if name is not None and name.startswith(("/", ".", "~")):
        return f"the directory `{name}` does not exist on this machine: the size of its model is unknown"
    return (
        f"the size of `{name}` is unknown: the model is neither in the hub's cache nor in the built-in table"
    )


def _unknown_shape(family: str) -> str:
    if family in FAMILIES:
        return f"the config lacks sizes of its `{family}` model: parameters and memory are unknown"
    return f"the family `{family}` is not in the built-in table: parameters and memory are unknown"
