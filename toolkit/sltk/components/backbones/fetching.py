"""Gets configs, tokenizers and weights through transformers, and says what to do where that does not work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError

from ...errors import ModelError, Problem
from .content_hash import content_hash

T = TypeVar("T")
_LOCALLY = "download it elsewhere and give the directory; `sltk train --rehearse` needs no hub"


def fetched(name: str, load: Callable[[], T]) -> T:
    """What `load` gives.

    Raises:
        ModelError: the hub, or the files, are out of reach, or not of a kind that is loaded.
    """
    if is_folder(name) and not Path(name).is_dir():
        raise ModelError(Problem(f"no model directory `{name}`", path="backbone.name"))
    try:
        return load()
    except ImportError as error:
        package = "; pip install 'sltk[gguf]'" if "gguf" in str(error).lower() else ""
        raise ModelError(
            Problem(f"`{name}` needs another package: {_first_line(error)}{package}", path="backbone.name")
        ) from error
    except (OSError, ValueError, StrictDataclassError) as error:
        raise ModelError(_problem(name, error)) from error


def is_folder(name: str) -> bool:
    """Whether a model name means a directory."""
    return name.startswith(("/", ".", "~"))


def _problem(name: str, error: Exception) -> Problem:
    text = f"{error} {error.__cause__ or ''}"
    if "trust_remote_code" in text:
        return Problem(
            f"`{name}` brings Python code of its own (`auto_map` in its config.json), which sltk does not run",
            path="backbone.name",
            notes=("choose a model of a family that transformers has itself: docs/reference/families.md",),
        )
    if "safetensors" in text and _has_no_safetensors(name):
        folder = f"{Path(name).name}-safetensors"
        return Problem(
            f"`{name}` has no safetensors weights; pickled weights are refused, for they can run any code",
            path="backbone.name",
            notes=(
                'convert them once, where you trust them: python -c "'
                "from transformers import AutoModel, AutoTokenizer; "
                f"AutoModel.from_pretrained('{name}').save_pretrained('{folder}'); "
                f"AutoTokenizer.from_pretrained('{name}').save_pretrained('{folder}')\"",
                f"then `name: ./{folder}`",
            ),
        )
    return Problem(
        f"cannot load `{name}`: {_first_line(error)}", path="backbone.name", notes=(_what_to_do(name, text),)
    )


def _has_no_safetensors(name: str) -> bool:
    return not is_folder(name) or not any(Path(name).glob("*.safetensors"))


def _what_to_do(name: str, text: str) -> str:
    if any(sign in text for sign in ("gated", "Gated", "401", "403", "restricted")):
        return f"accept its licence at huggingface.co/{name}, then `hf auth login`"
    if is_folder(name):
        return "expected config.json, model.safetensors and tokenizer.json there"
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return f"HF_HUB_OFFLINE is set and it is not in the local cache: unset it, or {_LOCALLY}"
    return f"check the name and the network, or {_LOCALLY}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def located(name: str, base: Mapping[str, Any]) -> str:
    """Where the base of a saved model is now: where it was, or of the same name in `$SLTK_MODELS`.

    Args:
        name: the base as the saved model names it.
        base: what `fingerprint` said of it when the model was saved; empty for weights inside a run.

    Raises:
        ModelError: it is at neither place, or other weights are.
    """
    if "content" not in base:
        return name
    elsewhere = Path(os.environ.get("SLTK_MODELS", "~/.cache/sltk-models")).expanduser() / Path(name).name
    places = [folder for folder in (Path(name), elsewhere) if folder.is_dir()]
    same = next((folder for folder in places if content_hash(folder) == base["content"]), None)
    if same is not None:
        return str(same)
    if places:
        raise ModelError(
            Problem(
                f"the weights in `{places[0]}` are not those this model was trained on",
                path="backbone.name",
                notes=("put the original weights back, or train again on the new ones",),
            )
        )
    raise ModelError(
        Problem(
            f"the base model `{name}` is not on this machine",
            path="backbone.name",
            notes=(
                f"copy it to `{elsewhere}`, or set SLTK_MODELS to the folder that holds `{Path(name).name}`",
                "`sltk export RUN DIR` writes a model that needs no base",
            ),
        )
    )
