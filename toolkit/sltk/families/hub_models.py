"""Models of sltk on the Hugging Face hub: download one that is not in the cache yet.

Only the files that the manifest of the model lists are downloaded, and of these only data: safetensors, JSON, ONNX and
text. Pickled files are refused. Python files are downloaded only if the user trusts them.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..errors import ModelError, Problem, RunError, UsageError
from ..files import manifest
from ..files.damage import damaged, read_json
from ..files.disk_space import disk_errors
from .hub_errors import explain
from .model_files import hub_cache, snapshot

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@((?!.*\.\.)[\w./-]+))?")
_DATA = (".safetensors", ".json", ".onnx", ".data", ".txt", ".jinja", ".model")
_CODE = "imports/*.py"
_TIMEOUT = 20
"""Seconds to wait for an answer of the hub."""


def parse(name: str) -> tuple[str, str | None] | None:
    """Split `user/model@revision` into name and revision (None without one); None for any other text."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match[1], match[2])


def locate(place: str | Path, *, trust_code: bool = False) -> Path:
    """The folder of a run or an export: `place` itself if it exists, else a model with this name on the hub.

    Raises:
        ModelError: there is no such folder, and no such model on the hub; or the hub cannot be asked.
        UsageError: see `download`.
        DiskFullError: there is no space for the model.
    """
    name = str(place)
    match = None if os.path.lexists(place) else parse(name)
    if match is None:
        return Path(place)
    try:
        return download(*match, trust_code=trust_code)
    except ModelError as error:
        problem = error.problems[0]
        raise ModelError(
            replace(problem, message=f"there is no folder `{name}`, and {problem.message}")
        ) from error


def is_export(name: str, revision: str | None = None) -> bool:
    """Whether the hub says that sltk wrote this model; False also if it cannot be asked."""
    from huggingface_hub import HfApi, constants

    if constants.is_offline_mode():
        return False
    try:
        info = HfApi(library_name="sltk").model_info(name, revision=revision, timeout=_TIMEOUT)
    except Exception as error:
        if explain(error, name) is None:
            raise
        return False
    return {"sltk.json", manifest.NAME} <= {each.rfilename for each in info.siblings or ()}


def download(name: str, revision: str | None = None, *, trust_code: bool = False) -> Path:
    """Download a model that sltk wrote, and return its folder in the hub's cache.

    Without a network, the model must be in the cache. Whoever loads it compares it with its manifest.

    Args:
        name: its name on the hub: `user/model`.
        revision: a branch, a tag or a commit; None for the main branch.
        trust_code: download its Python files too. They do not run here.

    Raises:
        ModelError: there is no such model, or it is not in the cache and the hub cannot be asked.
        UsageError: sltk did not write it, or it has files that are refused.
        DiskFullError: there is no space for it.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    with _explained(name, revision):
        is_local = not _is_reachable(name, revision)
        listed = Path(hf_hub_download(name, manifest.NAME, revision=revision, local_files_only=is_local))
    files = read_json(listed).get("files")
    if not isinstance(files, dict):
        raise damaged(listed, "it does not list the files of a model")
    names = [*_allowed(name, files, trust_code), manifest.NAME]
    folder = listed.parent  # named by its commit: the same version, even if the branch moves meanwhile
    if not all((folder / each).is_file() for each in names):
        with _explained(name, revision):
            snapshot_download(
                name,
                revision=folder.name,
                allow_patterns=[glob.escape(each) for each in names],
                local_files_only=is_local,
            )
    _replace_links(folder)
    return folder


@contextmanager
def _explained(name: str, revision: str | None) -> Iterator[None]:
    try:
        with disk_errors(hub_cache(), "free some space, or set HF_HOME to a folder on another disk"):
            yield
    except Exception as error:
        known = explain(error, name, revision)
        if known is None:
            raise
        raise (ModelError(str(known)) if isinstance(known, RunError) else known) from error


def _is_reachable(name: str, revision: str | None) -> bool:
    """Whether the hub can be asked; if not, the model is in the cache.

    Raises:
        UsageError: sltk did not write this model.
    """
    from huggingface_hub import HfApi, constants

    cached = snapshot(name, revision)
    if constants.is_offline_mode() and cached is not None:
        return False
    try:
        info = HfApi(library_name="sltk").model_info(name, revision=revision, timeout=_TIMEOUT)
    except Exception as error:
        if cached is None or not isinstance(explain(error, name), RunError):
            raise
        return False
    names = [each.rfilename for each in info.siblings or ()]
    for file in ("sltk.json", manifest.NAME):
        if file not in names:
            note = "other models can be the `backbone.name` of a spec"
            about = f"`{name}` is on the hub, but `sltk push` did not write it: it has no {file}"
            raise UsageError(Problem(about, notes=(note,)))
    return True


def _allowed(name: str, files: dict[str, object], trust_code: bool) -> list[str]:
    """The files to download.

    Raises:
        UsageError: a file has Python code that the user does not trust, or is neither data nor code of an `imports:`.
    """
    code = [file for file in files if PurePosixPath(file).match(_CODE) and file.count("/") == 1]
    other = [file for file in files if file not in code and PurePosixPath(file).suffix not in _DATA]
    if other:
        note = f"allowed: {', '.join(_DATA)}"
        raise UsageError(
            Problem(f"`{name}` has a file that sltk does not download: `{other[0]}`", notes=(note,))
        )
    if code and not trust_code:
        notes = (
            f"read {', '.join(code)} at huggingface.co/{name}",
            "if you trust it, add `--trust-code`, in Python `trust_code=True`",
        )
        raise UsageError(
            Problem(f"`{name}` needs its own Python code, which was not downloaded", notes=notes)
        )
    return list(files)


def _replace_links(folder: Path) -> None:
    """Make copies of code out of links to the cache: code runs only from files inside the folder of its model."""
    for path in folder.glob(_CODE):
        if path.is_symlink():
            copy = path.with_name(f".{path.name}.partial")
            shutil.copyfile(path, copy)
            copy.replace(path)
