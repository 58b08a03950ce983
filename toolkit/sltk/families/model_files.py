"""What the files of a model say without loading it: config.json and the headers of its safetensors.

Looked for in a directory, or in the hub's cache on this machine; nothing is downloaded.
"""

from __future__ import annotations

import json
import os
from math import prod
from pathlib import Path
from typing import Any

from ..errors import ModelError, Problem

_HEADER_LIMIT = 100 * 2**20
"""Most bytes a safetensors header may have (the format's own limit)."""


def find(name: str, revision: str | None = None) -> Path | None:
    """The folder with the files of a model, where they are on this machine."""
    if name.startswith(("/", ".", "~")):
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    repository = _hub_cache() / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision or ""
    snapshot = repository / "snapshots" / commit
    return snapshot if commit and (snapshot / "config.json").is_file() else None


def read_config(folder: Path) -> dict[str, Any] | None:
    """The content of config.json; None where there is none.

    Raises:
        ModelError: it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(Problem(f"`{path}` is not JSON: {error}", path="backbone.name")) from error
    if not isinstance(config, dict):
        raise ModelError(Problem(f"`{path}` holds no JSON object", path="backbone.name"))
    return config


Headers = dict[str, tuple[str, tuple[int, ...]]]
"""Name of a tensor → its dtype, as safetensors writes it, and its shape."""


def read_headers(folder: Path) -> Headers:
    """The tensors in the safetensors files of a folder; empty where there are none.

    Raises:
        ModelError: a file is cut short or is not safetensors.
    """
    tensors: Headers = {}
    for path in sorted(folder.glob("model*.safetensors")):
        for name, entry in _header(path).items():
            if name != "__metadata__":
                tensors[name] = (str(entry["dtype"]), tuple(entry["shape"]))
    return tensors


def parameters(headers: Headers) -> int:
    """Numbers in all tensors but the output embedding of a language model, which a backbone leaves out."""
    return sum(
        prod(shape) for name, (_, shape) in headers.items() if name.split(".")[0] not in ("lm_head", "cls")
    )


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _HEADER_LIMIT:
                raise ValueError("its header is too long")
            header: dict[str, Any] = json.loads(file.read(length))
        return header
    except ValueError as error:
        raise ModelError(
            Problem(f"`{path}` is not a whole safetensors file: {error}", path="backbone.name")
        ) from error


def _hub_cache() -> Path:
    """The folder that huggingface_hub caches in."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
    )
    return Path(home).expanduser() / "hub"
