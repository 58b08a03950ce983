"""Identify the base weights that an adapter was trained on, so that it is never applied to other weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import ModelError, Problem
from ...families.model_files import weights_folder
from ...files import file_digests
from ...files.damage import open_regular
from ...files.paths import expanded

_SAMPLES, _SAMPLE_BYTES = 64, 65536


def identify_base(name: str, revision: str | None) -> dict[str, Any]:
    """`{"name", "revision"}` of a hub model that was just loaded, or `{"name", "content", "covers"}` of a directory.

    The argument `revision` is a branch, a tag or None; the recorded one is the commit that it refers to.
    """
    folder = Path(name)
    if folder.is_dir():
        return {"name": name, "content": content_hash(folder), "covers": "all"}
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, file, revision=revision) for file in ("config.json", "sltk.json"))
    cached = next((path for path in found if isinstance(path, str)), None)
    return {"name": name, "revision": Path(cached).parent.name if cached else revision}


def identify_gguf(name: str, gguf_file: str, revision: str | None, path: Path) -> dict[str, Any]:
    """Identify a model in the GGUF file at `path`: by its commit on the hub, or by the SHA-256 of the file."""
    if name.startswith(("/", ".", "~")):
        return {"name": name, "gguf_file": gguf_file, "content": file_digests.sha256(path), "covers": "file"}
    depth = len(PurePosixPath(gguf_file).parts)  # …/snapshots/COMMIT/FILE
    return {"name": name, "gguf_file": gguf_file, "revision": path.parents[depth - 1].name or revision}


def content_hash(folder: Path) -> str:
    """SHA-256 of the config and of all weights of a model directory.

    Digests of files are cached by their size, time of change and inode, so a 14-GB model is read once.
    """
    names = {path.name: file_digests.sha256(path) for path in _files(weights_folder(folder))}
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    """The config and the weights of a model directory."""
    patterns = ("*.safetensors", "*.gguf", "config.json", "*.index.json")
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def sampled_hash(folder: Path) -> str:
    """The hash that models of sltk 0.1 recorded.

    It covers the size of each weights file and 64 evenly spaced samples of 64 KiB (all of a small file).
    """
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.gguf"), folder / "config.json"]):
        if not path.exists():
            continue
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{path.name}:{size}\n".encode())
            for sample in range(_SAMPLES):
                file.seek(sample * max(_SAMPLE_BYTES, size // _SAMPLES))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def has_content(folder: Path, base: Mapping[str, Any]) -> bool:
    """Whether a model directory has the content that was recorded: all of it, samples, or one file."""
    if base.get("covers") == "file":
        path = folder / str(base.get("gguf_file"))
        return path.is_file() and file_digests.sha256(path) == base["content"]
    return str(base["content"]) == (content_hash if base.get("covers") == "all" else sampled_hash)(folder)


def is_same_base(trained_on: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether the recorded base of an adapter is `base`, which was just loaded: by content, or by name and revision."""
    if "content" in trained_on and "content" in base:
        return trained_on["content"] == base["content"] or has_content(Path(str(base["name"])), trained_on)
    return all(trained_on.get(key) == base.get(key) for key in ("name", "revision"))


def locate_gguf(name: str, gguf_file: str, base: Mapping[str, Any]) -> Path:
    """Find the GGUF file of a saved model: in its original place, or in `$SLTK_MODELS`, alone or in its folder.

    Models of earlier versions recorded the content of the whole folder.

    Raises:
        ModelError: the file is in none of these places, or its content is different.
    """
    if base.get("covers") != "file":
        return Path(locate_base(name, base)) / gguf_file
    models = _models_folder()
    places = (Path(name), models / Path(name).name, models)
    folders = [folder for folder in places if (folder / gguf_file).is_file()]
    match = next((folder for folder in folders if has_content(folder, base)), None)
    if match is not None:
        return match / gguf_file
    if folders:
        raise _other_weights(folders[0] / gguf_file)
    raise _missing_base(str(Path(name) / gguf_file), models / gguf_file)


def _models_folder() -> Path:
    return expanded(os.environ.get("SLTK_MODELS", "~/.cache/sltk-models"))


def locate_base(name: str, base: Mapping[str, Any]) -> str:
    """Find the base of a saved model: in its original place, or under the same name in `$SLTK_MODELS`.

    Args:
        name: the base as the saved model names it.
        base: what `identify_base` returned when the model was saved; empty for weights inside a run.

    Raises:
        ModelError: the base is in neither place, or its weights are different.
    """
    if "content" not in base:
        return name
    elsewhere = _models_folder() / Path(name).name
    folders = [folder for folder in (Path(name), elsewhere) if folder.is_dir()]
    match = next((folder for folder in folders if has_content(folder, base)), None)
    if match is not None:
        return str(match)
    if folders:
        raise _other_weights(folders[0])
    raise _missing_base(name, elsewhere)


def _other_weights(path: Path) -> ModelError:
    note = "restore the original weights, or train again on the new ones"
    about = f"the weights in `{path}` are not those this model was trained on"
    return ModelError(Problem(about, path="backbone.name", notes=(note,)))


def _missing_base(name: str, elsewhere: Path) -> ModelError:
    notes = (
        f"copy it to `{elsewhere}`, or set SLTK_MODELS to the folder that contains `{elsewhere.name}`",
        "`sltk export RUN DIR` writes a model that needs no base",
    )
    about = f"the base model `{name}` is not on this machine"
    return ModelError(Problem(about, path="backbone.name", notes=notes))
