"""Load configs, tokenizers and weights through transformers, with errors that say what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError

from ...errors import ModelError, Problem
from ...families.model_files import hub_cache
from ...files.damage import check_readable, check_regular, is_about_content, reason
from ...files.disk_space import disk_full_error, is_disk_full
from ...files.memory_shortage import is_out_of_memory

T = TypeVar("T")
_LOCAL_COPY = "download it elsewhere and name the directory; `sltk train --rehearse` needs no hub"
_CONFIG_ERRORS = (
    ValueError, TypeError, AttributeError, ArithmeticError, LookupError, AssertionError, RuntimeError,
    StrictDataclassError,
)  # fmt: skip
"""Exceptions raised by transformers for inconsistent config values."""


def fetch(name: str, load: Callable[[], T]) -> T:
    """Call `load`, which loads something of the model `name`, and explain its errors.

    Raises:
        ModelError: the hub or the files are not accessible, or their kind is not supported.
        UsageError: a file in the directory is damaged, or is no regular file.
        DiskFullError: the model was downloaded, and the disk is full.
    """
    if _is_folder(name):
        if not Path(name).is_dir():
            raise ModelError(Problem(f"no model directory `{name}`", path="backbone.name"))
        check_regular(Path(name), deep=False)
    try:
        return load()
    except ImportError as error:
        install = "; pip install 'sltk[gguf]'" if "gguf" in str(error).lower() else ""
        message = f"`{name}` needs another package: {reason(error)}{install}"
        raise ModelError(Problem(message, path="backbone.name")) from error
    except BaseException as error:
        if is_disk_full(error):
            raise disk_full_error(error, hub_cache()) from error
        if not is_about_content(error):
            raise
        if _is_folder(name):
            check_readable(Path(name), deep=False)  # names the damaged file
        raise ModelError(_problem(name, error)) from error


def from_config_values(model_type: str, make: Callable[[], Any]) -> Any:
    """Call `make`, which creates a config or a model from values that may be inconsistent.

    Raises:
        ModelError: the values are inconsistent.
    """
    try:
        return make()
    except _CONFIG_ERRORS as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        message = f"these values do not fit a {model_type} model: {reason}"
        raise ModelError(Problem(message, path="backbone.config")) from error


def _is_folder(name: str) -> bool:
    """Whether a model name is a directory."""
    return name.startswith(("/", ".", "~"))


def _problem(name: str, error: BaseException) -> Problem:
    text = f"{error} {error.__cause__ or ''}"
    if "trust_remote_code" in text:
        return Problem(
            f"`{name}` contains its own Python code (`auto_map` in its config.json), which sltk does not run",
            path="backbone.name",
            notes=("choose a model of a family that transformers supports: docs/reference/families.md",),
        )
    if "safetensors" in text and _has_no_safetensors(name):
        folder = f"{Path(name).name}-safetensors"
        return Problem(
            f"`{name}` has no safetensors weights; pickled weights are refused, because loading them can run any code",
            path="backbone.name",
            notes=(
                'convert them once, on a machine where you trust them: python -c "'
                "from transformers import AutoModel, AutoTokenizer; "
                f"AutoModel.from_pretrained('{name}').save_pretrained('{folder}'); "
                f"AutoTokenizer.from_pretrained('{name}').save_pretrained('{folder}')\"",
                f"then `name: ./{folder}`",
            ),
        )
    return Problem(
        f"cannot load `{name}`: {reason(error)}", path="backbone.name", notes=(_advice(name, text),)
    )


def _has_no_safetensors(name: str) -> bool:
    return not _is_folder(name) or not any(Path(name).glob("*.safetensors"))


def _advice(name: str, text: str) -> str:
    if any(sign in text for sign in ("gated", "Gated", "401", "403", "restricted")):
        return f"accept its licence at huggingface.co/{name}, then `hf auth login`"
    if name.endswith(".gguf"):
        return "transformers reads only some architectures from GGUF files; use the model's safetensors files"
    if _is_folder(name):
        return "expected config.json, model.safetensors and tokenizer.json in the directory"
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return f"HF_HUB_OFFLINE is set and the model is not in the local cache: unset it, or {_LOCAL_COPY}"
    return f"check the name and the network, or {_LOCAL_COPY}"
