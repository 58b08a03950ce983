"""Which files of an export are uploaded: those of its manifest, its card, and licences. Nothing else is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..errors import Problem, UsageError
from ..files import file_digests, manifest
from ..files.damage import read_json, visible

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
_FOR_PEOPLE = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
_SEARCHED_BYTES = 2**20


@dataclass(frozen=True)
class UploadPlan:
    """What would be uploaded."""

    folder: Path
    repository: str
    card: str
    """The content of README.md."""
    files: dict[str, int]
    """Size in bytes of each file in `folder`, by its path in the repository; README.md is not among them."""
    left_out: tuple[str, ...] = ()
    """Files of the folder that are not uploaded."""
    warnings: tuple[str, ...] = ()
    private: bool | None = None
    revision: str | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Size in bytes of everything that is uploaded, by its path in the repository."""
        return dict(sorted({**self.files, manifest.CARD: len(self.card.encode())}.items()))

    @property
    def code(self) -> list[str]:
        """The Python files among them."""
        return [name for name in self.files if name.endswith(".py")]


def plan_upload(folder: Path, repository: str, card: str, *, with_code: bool) -> UploadPlan:
    """List what is uploaded of an export whose files are those of its manifest.

    Raises:
        UsageError: it has no manifest, a file that is pickled, or Python code without `with_code`.
    """
    if not manifest.exists(folder):
        note = "`sltk export` writes a complete one"
        raise UsageError(
            Problem(f"`{folder}` has no {manifest.NAME}: it is no export of sltk", notes=(note,))
        )
    listed = read_json(folder / manifest.NAME).get("files", {})
    names = {path.relative_to(folder).as_posix() for path in visible(folder) if path.is_file()}
    names -= {manifest.CARD}
    taken = sorted(name for name in names if name in listed or name == manifest.NAME or _is_for_people(name))
    files = {name: (folder / name).stat().st_size for name in taken}
    plan = UploadPlan(folder, repository, card, files, left_out=tuple(sorted(names - files.keys())))
    _check_pickles(plan)
    if plan.code and not with_code:
        raise _code_error(plan)
    return replace(plan, warnings=tuple(_warnings(plan)))


def _is_for_people(name: str) -> bool:
    return PurePosixPath(name).stem.upper() in _FOR_PEOPLE and "/" not in name


def _check_pickles(plan: UploadPlan) -> None:
    pickled = [name for name in plan.files if PurePosixPath(name).suffix in _PICKLED]
    if pickled:
        note = "pickled files can run any code of whoever made them; use safetensors"
        raise UsageError(Problem(f"`{plan.folder / pickled[0]}` is not uploaded", notes=(note,)))


def _code_error(plan: UploadPlan) -> UsageError:
    digests = (f"{name}   sha256 {file_digests.sha256(plan.folder / name)}" for name in plan.code)
    notes = (*digests, "if it may be public, add `--with-code`; whoever loads the model must trust it")
    return UsageError(Problem("this model needs Python code, which would be uploaded with it", notes=notes))


def _warnings(plan: UploadPlan) -> Iterator[str]:
    """Names of folders of this machine in the files that describe the model."""
    private = {str(Path.home()), os.getcwd()} - {"/"}
    for name, size in plan.files.items():
        if name.endswith(".json") and size < _SEARCHED_BYTES:
            text = (plan.folder / name).read_text("utf-8", "replace")
            found = next((folder for folder in sorted(private) if f'"{folder}' in text), None)
            if found is not None:
                yield f"`{name}` names the folder `{found}` of this machine"
