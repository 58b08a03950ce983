"""`environment.json`: versions, device and settings that a run was made with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from typing import Any, Protocol

import torch

from .._version import __version__
from ..models.description import FORMAT
from ..nn.fused import onednn
from ..runtime import processes

_PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "safetensors", "numpy",
)  # fmt: skip


class TrainedModel(Protocol):
    """The attributes that models of every kind of run have."""

    @property
    def device(self) -> torch.device:
        """The device of the model."""

    @property
    def network(self) -> Any:
        """A `TrainableModule` with its `backbone`."""


def environment(seed: int, model: TrainedModel) -> dict[str, Any]:
    """Collect versions, device, threads, git revision, seed and the proof of the mask."""
    proof, device = model.network.backbone.proof, model.device
    return {
        "format": FORMAT,
        "sltk": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "products": "oneDNN" if device.type == "cpu" and onednn.is_faster() else "torch",
        "processes": processes.world_size(),
        "git_revision": _git_revision(),
        "seed": seed,
        "mask_proof": None if proof is None else vars(proof),
    }


def _git_revision() -> str | None:
    """The revision of the repository that the run was started in, or None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
