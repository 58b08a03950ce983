"""Decisions that all processes of a run take together, although each could take them alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from .._version import __version__
from ..components.backbones import precision
from ..data.fingerprint import Fingerprint
from ..errors import Problem, RunError, UsageError
from ..files import manifest
from ..rundir.environment import TrainedModel
from ..runtime import agreement, processes
from ..runtime.launch_settings import is_on
from ..runtime.progress import Progress
from .checkpoints import STATE, ResumePoint

_FLAGS = ("should_training_stop", "should_epoch_stop", "should_save", "should_evaluate", "should_log")


def newest_checkpoint(point: ResumePoint, folder: Path, progress: Progress) -> Path | None:
    """The newest checkpoint that the main process can use; all processes see it.

    Raises:
        UsageError: no checkpoint can be used, although there are complete ones, or some process does not see it.
    """
    newest = point.newest(folder, progress) if processes.is_main_process() else None
    own = None
    if newest is not None:
        own = newest.name, manifest.NAME if (newest / manifest.NAME).exists() else STATE
    found = processes.broadcast(own)
    if found is None:
        return None
    name, file = found
    advice = "all processes resume from the same checkpoint: give `--output` on a file system that all machines share"
    agreement.check_same_file(folder / name / file, f"the newest checkpoint, `{name}`,", advice)
    return folder / name


def check_same_run(spec_digest: str, model: TrainedModel, fingerprints: Mapping[str, Fingerprint]) -> None:
    """Check, once data and model are there, that all processes are about to start the same run.

    Raises:
        UsageError: a process has other versions, another spec, other data, or another kind of device.
    """
    packages = ("torch", "transformers", "peft")
    agreement.check_same_values(
        {
            "the version of sltk": __version__,
            **{f"the version of {name}": version(name) for name in packages},
            "the spec": spec_digest,
            **{f"the data of `{name}`": dict(value) for name, value in fingerprints.items()},
            "the kind of device": model.device.type,
            "the number format of products": model.network.backbone.precision,
        }
    )


def check_device() -> None:
    """Check that the environment does not move the training to another device than that of the model.

    Raises:
        UsageError: it does.
    """
    value, device = os.environ.get("ACCELERATE_USE_CPU", ""), precision.device().type
    if is_on(value) and device != "cpu":
        message = f"`ACCELERATE_USE_CPU={value}`: sltk trains on the GPU (`{device}`)"
        note = "unset the variable; `CUDA_VISIBLE_DEVICES=` hides the GPUs"
        raise UsageError(Problem(message, notes=(note,)))


def check_setup(arguments: TrainingArguments) -> None:
    """Check that transformers trains in as many processes as the launcher started.

    Raises:
        RunError: it would train in another number of processes, each of them alone.
    """
    if arguments.world_size != processes.world_size():
        expected = f"the launcher started {processes.world_size()}"
        raise RunError(f"transformers would train in {arguments.world_size} processes, and {expected}")


class SharedControl(TrainerCallback):  # type: ignore[misc]
    """Follows the main process where callbacks of the user decide when to stop, save or evaluate.

    It comes after them. A callback that stops the training in one process alone would leave the others waiting.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take over what the callbacks of the main process decided after an update."""
        decisions = processes.broadcast({flag: getattr(control, flag) for flag in _FLAGS})
        for flag, value in decisions.items():
            setattr(control, flag, value)

    on_epoch_end = on_evaluate = on_step_end
