"""Log to TensorBoard: event files in RUN/tensorboard, or in the folder that TENSORBOARD_LOGGING_DIR names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..runtime.optional_imports import import_optional, is_installed


class TensorboardTracker:
    """Event files that `tensorboard --logdir RUN` shows.

    A resumed run adds a file, which hides what the earlier one has of the updates that are repeated.
    """

    def __init__(self, folder: Path, run: str, parameters: Mapping[str, str], run_id: str | None) -> None:
        self.run_id: str | None = None
        self._folder = os.environ.get("TENSORBOARD_LOGGING_DIR") or str(folder / "tensorboard")
        self._parameters = parameters
        self._writer: Any = None

    def started(self, done: int) -> None:
        """Open the file."""
        self._open(done + 1 if done else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of an update."""
        writer = self._writer or self._open(None)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def finish(self, error: BaseException | None) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, purge_step: int | None) -> Any:
        self._writer = _writer_class()(log_dir=self._folder, purge_step=purge_step)
        text = "".join(f"    {key}: {value}\n" for key, value in self._parameters.items())
        self._writer.add_text("spec", text, 0)
        return self._writer


def _writer_class() -> Any:
    if is_installed("tensorboard"):
        return import_module("torch.utils.tensorboard").SummaryWriter
    return import_optional("tensorboardX", "`log_to: [tensorboard]`", "tensorboard").SummaryWriter
