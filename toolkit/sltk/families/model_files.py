"""Files of a model that can be read without loading it: config.json and the headers of safetensors files.

They are found in a directory, or in the hub's cache on this machine; nothing is downloaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from ..errors import ModelError, Problem, UsageError
from ..files.damage import read_header, read_json
from ..files.paths import expanded
from .model_shape import Linear, Shape

BASE = "base"
"""The folder of an export, or of a run's `model/`, with the weights of its backbone alone."""


def find(name: str, revision: str | None = None) -> Path | None:
    """The folder with the files of a model; None if they are not on this machine."""
    if name.startswith(("/", ".", "~")):
        folder = expanded(name)
        return weights_folder(folder) if folder.is_dir() else None
    cached = snapshot(name, revision)
    if cached is None:
        return None
    folder = weights_folder(cached)
    return folder if (folder / "config.json").is_file() else None


def weights_folder(folder: Path) -> Path:
    """The folder with config and weights: `base/` of an export that only sltk loads, otherwise the folder itself."""
    is_apart = (folder / "sltk.json").is_file() and not (folder / "config.json").is_file()
    return folder / BASE if is_apart and (folder / BASE).is_dir() else folder


def find_export(name: str, revision: str | None = None) -> Path | None:
    """The folder of an export whose weights are in its `base/`; None for any other model."""
    root = expanded(name) if name.startswith(("/", ".", "~")) else snapshot(name, revision)
    return root if root is not None and weights_folder(root) != root else None


def find_tokenizer(name: str, revision: str | None = None) -> Path | None:
    """The folder with the tokenizer of a model; None if its files are not on this machine."""
    export = find_export(name, revision)
    return find(name, revision) if export is None else export / "tokenizer"


def snapshot(name: str, revision: str | None = None) -> Path | None:
    """The folder of a model in the hub's cache; None if there is none. It may lack files."""
    repository = hub_cache() / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision or ""
    folder = repository / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def read_config(folder: Path) -> dict[str, Any] | None:
    """The content of config.json; None if it does not exist.

    Raises:
        ModelError: the file is not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        return None
    with _as_model_error(f"`{path}` is not JSON"):
        return read_json(path)


@contextmanager
def _as_model_error(about: str) -> Iterator[None]:
    """Turn the error of a damaged file into one about the model that a spec names."""
    try:
        yield
    except UsageError as error:
        reason = error.problems[0].message.removeprefix("the file is damaged: ")
        raise ModelError(Problem(f"{about}: {reason}", path="backbone.name")) from error


Headers = dict[str, tuple[str, tuple[int, ...]]]
"""For each tensor, its dtype as safetensors writes it, and its shape."""


def read_headers(folder: Path) -> Headers:
    """The tensors in the safetensors files of a folder; empty if there are none.

    Raises:
        ModelError: a file is truncated, or is not a safetensors file.
    """
    tensors: Headers = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with _as_model_error(f"`{path}` is not a complete safetensors file"):
            header = read_header(path)
        tensors |= {name: (str(entry["dtype"]), tuple(entry["shape"])) for name, entry in header.items()}
    return tensors


def parameters(headers: Headers) -> int:
    """Numbers in all tensors except the output embedding of a language model, which a backbone does not use."""
    return sum(
        prod(shape) for name, (_, shape) in headers.items() if name.split(".")[0] not in ("lm_head", "cls")
    )


def first_blocks(headers: Headers, blocks: int) -> Headers:
    """The tensors without those of later blocks; the first number in a name is that of its block."""
    numbers = {name: next(filter(str.isdecimal, name.split(".")), "0") for name in headers}
    return {name: entry for name, entry in headers.items() if int(numbers[name]) < blocks}


def hub_cache() -> Path:
    """The folder of huggingface_hub's cache."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return expanded(folder)
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
    )
    return expanded(home) / "hub"


def shape_of_headers(config: dict[str, Any], headers: Headers) -> Shape | None:
    """The shape of a model whose family is in no table, from the headers of its safetensors files.

    Gives parameters, blocks and the names of linear layers. Sizes stay unknown, and therefore memory.
    """
    pattern = re.compile(r"(?:^|.*?\.)([0-9]+)\.(.+)\.weight")
    blocks: dict[str, set[int]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    for name, (_, dimensions) in headers.items():
        match = pattern.fullmatch(name)
        if match and len(dimensions) == 2:
            blocks.setdefault(match[2], set()).add(int(match[1]))
            sizes[match[2]] = dimensions
    count = config.get("num_hidden_layers") or len(set().union(*blocks.values()))
    if not headers or not count:
        return None
    linear = tuple(Linear(path, sizes[path][1], sizes[path][0], len(own)) for path, own in blocks.items())
    return Shape(str(config.get("model_type")), int(count), parameters(headers), linear, {}, tied=True)
