"""Check stored weights: sizes in config.json before a library allocates memory for them, and finite values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ModelError, Problem
from ...families.model_files import Headers, read_config, read_headers
from ...files.damage import damaged, read_json

_REPEATED = re.compile(r"(?:n_layers?|num_(?:\w+_)?(?:layers|blocks)|(?:en|de)coder_layers|depth)$")
"""Keys that count modules; each has at least one tensor."""
_ROWS = re.compile(r"(?:labels|experts|heads?)$")
"""Keys that count rows or parts of a tensor."""
_SIZES = re.compile(r"(?:size|dim|d_model|d_ff|n_embd|n_inner|rank|hidden)$")
_FEWEST = 1000
"""A limit below this would be too strict for tiny models, and allows no harm."""
_SLACK = 10_000_000
"""Numbers that a model may have besides its stored ones, such as buffers: 40 MB."""


def check_config(folder: Path) -> Headers:
    """Check that the numbers in config.json are possible for the weights in the folder, and return their headers.

    Nothing is checked, and the result is empty, if the folder has no safetensors files.

    Raises:
        ModelError: a number is too large; or a file is damaged.
        UsageError: the index is damaged.
    """
    _check_index(folder / "model.safetensors.index.json")
    config, headers = read_config(folder), read_headers(folder)
    if config is None or not headers:
        return {}
    shapes = [shape for _, shape in headers.values()]
    limits = (
        (_REPEATED.match, len(shapes)),
        (_ROWS.search, max(_FEWEST, *(max(shape, default=1) for shape in shapes))),
        (_SIZES.search, max(_FEWEST, sum(map(prod, shapes)))),
    )
    for key, value in _integers(config):
        for matches, limit in limits:
            if matches(key) and value > limit:
                raise _too_large(folder, f"`{key}: {value}`")
    return headers


def _check_index(path: Path) -> None:
    """Check that the index of a model in several files names only files next to it."""
    if not path.exists():
        return
    names = read_json(path).get("weight_map")
    if not isinstance(names, dict) or any(Path(str(name)).name != name for name in names.values()):
        raise damaged(path, "`weight_map` must name files in the same folder")


def _integers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The keys with whole numbers, also those of nested configs."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _integers(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield key, value


def check_total(model: Any, headers: Headers, folder: Path) -> None:
    """Check that a model without memory (on the device `meta`) has about as many numbers as its files.

    Quantized files store two numbers in one.

    Raises:
        ModelError: the model is much larger.
    """
    stored = sum(prod(shape) for _, shape in headers.values())
    expected = sum(value.numel() for value in (*model.parameters(), *model.buffers()))
    if expected > 2 * stored + _SLACK:
        raise _too_large(folder, f"a model with {expected:,} numbers")


def _too_large(folder: Path, what: str) -> ModelError:
    about = f"`{folder / 'config.json'}` asks for {what}, which does not fit the weights next to it"
    return ModelError(Problem(about, path="backbone.name"))


def check_finite(module: nn.Module, path: Path) -> None:
    """Check that all weights and buffers are finite numbers.

    Raises:
        UsageError: one contains NaN or an infinite value.
    """
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise damaged(path, f"`{name}` contains NaN or an infinite value")
