"""Decisions that all processes of a run take together, although each could take them alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from ..errors import Problem, RunError, UsageError
from ..files import manifest
from ..runtime import agreement, processes
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


def check_setup(arguments: TrainingArguments, device: torch.device) -> None:
    """Check that transformers trains on the device, and in the processes, that this run has.

    Raises:
        UsageError: the environment moves the training to another device.
        RunError: transformers would train in another number of processes, or in another way than this run.
    """
    if arguments.device.type != device.type:
        message = f"the environment selects the device `{arguments.device.type}`, and the model is on `{device.type}`"
        note = "unset `ACCELERATE_USE_CPU`; `CUDA_VISIBLE_DEVICES=` selects the CPU"
        raise UsageError(Problem(message, notes=(note,)))
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
