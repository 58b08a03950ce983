"""The config and the shape of a model in a GGUF file, from its header alone.

The keys are those of transformers' configs, as far as sizes need them. transformers itself reads the file when the
model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files.paths import expanded
from .gguf_header import GgufHeader
from .model_files import snapshot
from .model_shape import Shape, first_blocks, shape
from .model_tables import KEYS

_FAMILIES = {
    "gemma3": "gemma3_text", "gpt-oss": "gpt_oss", "qwen3moe": "qwen3_moe", "qwen2moe": "qwen2_moe",
    "command-r": "cohere", "t5encoder": "t5",
}  # fmt: skip
"""The `model_type` of transformers for architectures that llama.cpp names otherwise."""
_SIZES = {
    "hidden": "embedding_length",
    "blocks": "block_count",
    "heads": "attention.head_count",
    "key_heads": "attention.head_count_kv",
    "head": "attention.key_length",
    "ffn": "feed_forward_length",
    "vocabulary": "vocab_size",
    "positions": "context_length",
    "experts": "expert_count",
    "expert": "expert_feed_forward_length",
}
_UNUSED = ("output.weight", "rope_freqs", "rope_factors")
"""Beginnings of the names of tensors that are no weights of a backbone."""


def find_gguf(name: str, gguf_file: str, revision: str | None = None) -> Path | None:
    """A GGUF file in a directory, or in the hub's cache on this machine; None if it is not there."""
    folder = expanded(name) if name.startswith(("/", ".", "~")) else snapshot(name, revision)
    path = None if folder is None else folder / gguf_file
    return path if path is not None and path.is_file() else None


def config_of(header: GgufHeader) -> dict[str, Any]:
    """The keys of a transformers config that say how large the model is."""
    family = _FAMILIES.get(header.architecture, header.architecture)
    config: dict[str, Any] = {"model_type": family, "tie_word_embeddings": not _has_output(header)}
    for size, name in _SIZES.items():
        value = header.value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            config[KEYS[size]] = value
    if "vocab_size" not in config and isinstance(tokens := header.metadata.get("tokenizer.ggml.tokens"), int):
        config["vocab_size"] = tokens
    if (
        "head_dim" not in config
        and family in ("llama", "mistral")
        and (size := header.value("rope.dimension_count"))
    ):
        config["head_dim"] = size
    if window := header.value("attention.sliding_window"):
        config["sliding_window"] = window
    return config


def shape_of_gguf(header: GgufHeader, blocks: int | None = None) -> Shape | None:
    """The shape of the model in a GGUF file; without sizes and linear layers if its family is in no table.

    The parameters are those of the tensors in the file. With `blocks`, only the first blocks count.
    """
    config = config_of(header)
    if blocks is not None:
        config = first_blocks(config, blocks)
    used = (each for each in header.tensors if blocks is None or _block(each.name) < blocks)
    parameters = sum(each.numbers for each in used if not each.name.startswith(_UNUSED))
    known = shape(config)
    if known is not None:
        return replace(known, parameters=parameters)
    blocks = config.get("num_hidden_layers")
    tied = not _has_output(header)
    return Shape(str(config["model_type"]), blocks, parameters, (), {}, tied) if blocks else None


def reading_notes(header: GgufHeader, name: str) -> Iterator[str]:
    """What transformers does not read from the GGUF file `name`, although it changes the vectors of the model."""
    is_scaled = header.value("rope.scaling.type") not in (None, "none")
    if is_scaled or any(each.name.startswith("rope_f") for each in header.tensors):
        about = "so its vectors are not those of the original model"
        yield f"`{name}` scales rotary positions, which transformers does not read, {about}"


def _block(name: str) -> int:
    """The block of a tensor, such as `blk.7.attn_q.weight`; 0 for one outside of blocks."""
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" and parts[1].isdecimal() else 0


def _has_output(header: GgufHeader) -> bool:
    return any(each.name == "output.weight" for each in header.tensors)
