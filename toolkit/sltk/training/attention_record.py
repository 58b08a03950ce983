"""A callback of the Trainer that records and reports which attention kernels a run uses."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from ..rundir.directory import RunDirectory
from ..rundir.environment import TrainedModel
from ..runtime.progress import Progress


class AttentionRecord(TrainerCallback):  # type: ignore[misc]
    """Writes the kernels to `environment.json` after the first update and at the end, from what ran.

    A kernel that runs although the device has faster ones is noted once, with the reason.
    """

    def __init__(self, run: RunDirectory, model: TrainedModel, progress: Progress) -> None:
        self._run, self._model, self._progress = run, model, progress
        self._is_written = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the kernels of the first update, in case the run does not come to its end."""
        if not self._is_written:
            self._is_written = True
            self.write()

    def write(self) -> None:
        """Write all kernels so far."""
        self._run.record_attention(self._model)
        for note in self._model.network.backbone.kernels.new_notes():
            self._progress.note(note)
