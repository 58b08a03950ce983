"""What a run directory holds, and when it may be written.

    spec.yaml             resolved: everything needed to run it again
    imports/              copies of the files named in `imports:`
    checkpoints/          for --resume
    log.jsonl             loss, learning rate, scores, notes
    model/                see checkpoint.py
    predictions/SPLIT.conll
    environment.json      versions, device, revision, seed, proof of the mask
    metrics.json          written last: a run that has it is finished
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import __version__, atomic, config
from .checkpoint import Model
from .errors import UsageError
from .imports import load_imports
from .progress import Progress
from .registry import registry
from .spec import Experiment
from .types import Prediction

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "safetensors", "numpy")


def is_main_process() -> bool:
    """Whether this process writes files: the only one, or the first of those a launcher started."""
    return int(os.environ.get("RANK", "0")) == 0


class RunDirectory:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = folder / "spec.yaml"
        self.log = folder / "log.jsonl"
        self.model = folder / "model"
        self.checkpoints = folder / "checkpoints"
        self.metrics = folder / "metrics.json"

    def prepare(self, experiment: Experiment, *, resume: bool, force: bool) -> dict[str, Any] | None:
        """See that the run may be written here; changes nothing. The metrics, if it is finished already.

        Raises:
            UsageError: there is a run already, or another one than is to be resumed, or something else.
        """
        if not is_main_process():
            return None
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"`{self.folder}` is not a directory")
        if not self.spec.exists():
            if self.folder.is_dir() and any(self.folder.iterdir()) and not force:
                raise UsageError(f"`{self.folder}` holds other files and no run; choose another --output")
            return None
        if resume:
            self._check_same(experiment)
            return json.loads(self.metrics.read_text()) if self.metrics.exists() else None
        if not force:
            state = "a finished run" if self.metrics.exists() else "an unfinished run"
            raise UsageError(f"`{self.folder}` holds {state}; --resume goes on with it, --force replaces it")
        return None

    def _check_same(self, experiment: Experiment) -> None:
        before, now = self.spec.read_text(encoding="utf-8"), self._resolved(experiment)
        if before != now:
            differing = [
                f"{old.strip()} → {new.strip()}"
                for old, new in zip(before.splitlines(), now.splitlines(), strict=False)
                if old != new
            ]
            raise UsageError(
                f"`{self.folder}` holds a run of another spec ({'; '.join(differing[:3]) or 'keys differ'}); "
                "--force replaces it"
            )

    def _resolved(self, experiment: Experiment) -> str:
        imports = [
            path.__class__("imports") / path.name if path.suffix == ".py" else path for path in experiment.imports
        ]
        return config.dump(experiment.model_copy(update={"imports": imports}))

    def start(self, experiment: Experiment, *, force: bool) -> None:
        """Write what is known before training. With `force`, the run that was here goes first."""
        if not is_main_process():
            return
        if force:
            for path in (self.metrics, self.log, self.spec, self.folder / "environment.json"):
                path.unlink(missing_ok=True)
            for folder in (self.checkpoints, self.model, self.folder / "predictions", self.folder / "imports"):
                shutil.rmtree(folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in experiment.imports:
            if path.suffix == ".py":
                atomic.write_text(self.folder / "imports" / path.name, path.read_text(encoding="utf-8"))
        atomic.write_text(self.spec, self._resolved(experiment))

    def finish(self, experiment: Experiment, metrics: dict[str, Any], model: Model) -> None:
        """Write what is known after training; `metrics.json` comes last."""
        if (self.folder / "imports").is_dir():
            shutil.copytree(self.folder / "imports", self.model / "imports", dirs_exist_ok=True)
        atomic.write_json(self.folder / "environment.json", environment(experiment, model))
        atomic.write_json(self.metrics, metrics)

    def write_predictions(self, split: str, predictions: Iterable[Prediction]) -> None:
        """`predictions/SPLIT.conll`: word, gold tag, predicted tag."""
        if is_main_process():
            writer = registry.find("writer", "conll")()
            with atomic.writing(self.folder / "predictions" / f"{split}.conll") as file:
                file.writelines(writer.render(predictions))  # type: ignore[attr-defined]

    def experiment(self, progress: Progress) -> Experiment:
        """The spec of a finished run, its `imports:` run.

        Raises:
            UsageError: there is no run, or it is not finished.
        """
        if not self.spec.exists():
            raise UsageError(f"`{self.folder}` is no run directory (no spec.yaml)")
        if not self.metrics.exists():
            raise UsageError(f"the run in `{self.folder}` is not finished; `sltk train … --resume` goes on with it")
        loaded = config.load(self.spec)
        for path in loaded.experiment.imports:
            progress.note(f"imported {path}")
        return loaded.experiment


def run_imports(folder: Path, progress: Progress) -> None:
    """Run the files that came with an exported model, saying which."""
    for path in sorted((folder / "imports").glob("*.py")):
        progress.note(f"imported {path}")
        load_imports([path])


def environment(experiment: Experiment, model: Model) -> dict[str, Any]:
    """Where and with what the run was made, and the proof that its mask held."""
    import torch

    proof = model.tagger.backbone.proof
    return {
        "sltk": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type,
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "git_revision": _git_revision(),
        "seed": experiment.seed,
        "mask_proof": None if proof is None else vars(proof),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Revision of the repository that the run was started in, if it was one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
