"""The shape and size of a pretrained model, found without loading it.

The shape comes from the spec, from a directory or the hub's cache on this machine (config.json, headers of safetensors
files; the header of a GGUF file), or from the table of known models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..components.backbones.gguf_cache import size_text
from ..components.backbones.pretrained import PretrainedBackbone, TrainedTokenizer
from ..families import model_files
from ..families.gguf_header import GgufHeader, read_gguf
from ..families.gguf_shape import config_of, find_gguf, reading_notes, shape_of_gguf
from ..families.model_shape import Shape, blocks_of, first_blocks, shape
from ..families.model_tables import FAMILIES, REFUSED, known_config
from ..families.text_part import text_part

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
    """With only the blocks that are used, like `shape`."""
    total_blocks: int | None = None
    """The number of blocks before an early exit; None if unknown."""

    @classmethod
    def of(cls, backbone: PretrainedBackbone) -> ModelInfo:
        """Look up the model of a backbone.

        Raises:
            ModelError: the model's files on this machine are damaged.
        """
        name = backbone.name
        if backbone.gguf_file is not None and name is not None:
            return cls._of_gguf(backbone, name, backbone.gguf_file)
        folder = model_files.find(name, backbone.revision) if name else None
        config = model_files.read_config(folder) if folder else known_config(name) if name else {}
        if config is None:
            return cls(name, download_bytes=0 if folder else None, notes=(_unknown_model(name, folder),))
        if backbone.init == "random":
            config = _vocabulary(backbone) | config | (backbone.config or {})
        if config.get("model_type") not in REFUSED:
            config = text_part(config)
        family = str(config.get("model_type"))
        whole, total, used = shape(config), blocks_of(config), _used_blocks(backbone, config)
        if used is not None:
            config = first_blocks(config, used)
        model = shape(config)
        notes: tuple[str, ...] = ()
        if model is None and folder is not None:
            headers = model_files.read_headers(folder)
            model = model_files.shape_of_headers(
                config, headers if used is None else model_files.first_blocks(headers, used)
            )
        if model is None and family not in REFUSED:
            notes = (_unknown_shape(family),)
        is_local = folder is not None or backbone.init == "random"
        download = 0 if is_local else _published_bytes(config, whole)
        return cls(name, family, model, download, notes, config, total)

    @classmethod
    def _of_gguf(cls, backbone: PretrainedBackbone, name: str, gguf_file: str) -> ModelInfo:
        path = find_gguf(name, gguf_file, backbone.revision)
        if path is None:
            return cls(
                name, notes=(f"`{gguf_file}` is not on this machine: the size of its model is unknown",)
            )
        header = read_gguf(path)
        config = config_of(header)
        if backbone.init == "random":
            config |= backbone.config or {}
        total, used = blocks_of(config), _used_blocks(backbone, config)
        model = shape_of_gguf(header, used)
        if used is not None:
            config = first_blocks(config, used)
        if backbone.init == "random":
            model = shape(config) or model
        notes = tuple(_gguf_notes(header, gguf_file, model))
        return cls(name, config["model_type"], model, 0, notes, config, total)


def _gguf_notes(header: GgufHeader, gguf_file: str, model: Shape | None) -> Iterator[str]:
    numbers = sum(tensor.numbers for tensor in header.tensors)
    sizes = ", ".join(
        f"{size_text(numbers * DTYPE_BYTES[name])} in {name}" for name in ("float32", "bfloat16")
    )
    yield f"`{gguf_file}` is converted to safetensors once: {sizes}"
    if model is None or not model.sizes:
        yield f"memory is unknown: the family `{header.architecture}` is not in the built-in table"
    yield from reading_notes(header, gguf_file)


def _used_blocks(backbone: PretrainedBackbone, config: dict[str, Any]) -> int | None:
    """The number of blocks that an early exit leaves; None if it leaves all, or if the model has fewer."""
    total = blocks_of(config)
    return backbone.blocks if backbone.blocks != "all" and total and backbone.blocks < total else None


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
