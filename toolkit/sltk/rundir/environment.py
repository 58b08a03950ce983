"""`environment.json`: versions, device and settings that a run was made with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .._version import __version__
from ..models.description import FORMAT
from ..runtime import cpus, openmp, processes

if TYPE_CHECKING:
    import torch

_PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "safetensors", "numpy",
)  # fmt: skip

_WITHOUT_PROGRAMS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "diff.external=", "core.pager=cat")


class TrainedModel(Protocol):
    """The attributes that models of every kind of run have."""

    @property
    def device(self) -> torch.device:
        """The device of the model."""

    @property
    def network(self) -> Any:
        """A `TrainableModule` with its `backbone`."""


def environment(seed: int, model: TrainedModel) -> dict[str, Any]:
    """Collect versions, device, threads, the revision of sltk, seed and the proof of the mask."""
    import torch

    from ..nn.autocast import uses_tf32
    from ..nn.fused import onednn

    backbone, device = model.network.backbone, model.device
    return {
        "format": FORMAT,
        "sltk": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": backbone.precision,
        "tf32": uses_tf32(device),
        "threads": torch.get_num_threads(),
        "cpus": cpus.usable_cpus(),
        "openmp": openmp.settings(),
        "products": "oneDNN" if device.type == "cpu" and onednn.is_faster() else "torch",
        "processes": processes.world_size(),
        "git_revision": _git_revision(),
        "seed": seed,
        "mask_proof": mask_proof(model),
    }


def mask_proof(model: TrainedModel) -> dict[str, Any] | None:
    """The proof of the mask; None if the model has none."""
    proof = model.network.backbone.proof
    return None if proof is None else proof.as_json()


def attention(model: TrainedModel) -> dict[str, Any]:
    """The attention kernels that ran so far, by kind of block, as `KernelRecord.as_json` describes."""
    backbone = model.network.backbone
    if not getattr(backbone, "packs", True):
        reason = "the family runs on its own attention, on padded batches"
        return {"padded": {"kernel": "eager", "reason": reason}}
    record: dict[str, Any] = backbone.kernels.as_json()
    return record


def _git_revision() -> str | None:
    """The revision of sltk's own repository, with `-dirty` if its files were changed; None for an installed sltk.

    git may run programs that a repository's configuration names. So it never looks at the working directory, which may
    be somebody else's, and may run no hooks, monitors, filters, or programs that show differences.
    """
    sources = Path(__file__).resolve().parents[2]
    root = sources.parent
    if sources.name != "toolkit" or not (root / ".git").exists():
        return None
    try:
        filters = re.findall(
            r"^filter\.(.*)\.[a-z]+$", _git(root, "config", "--list", "--name-only"), re.MULTILINE
        )
        settings = [
            *_WITHOUT_PROGRAMS,
            *(f"filter.{name}.{key}=" for name in filters for key in ("clean", "process")),
        ]
        return _git(root, "describe", "--always", "--dirty", "--abbrev=40", settings=settings)
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str, settings: Iterable[str] = ()) -> str:
    """The output of git for the repository in `root`, without the environment variables that direct git elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    options = [word for setting in settings for word in ("-c", setting)]
    command = ["git", *options, f"--git-dir={root / '.git'}", f"--work-tree={root}", *arguments]
    done = subprocess.run(
        command,
        cwd=root,
        env=own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()
