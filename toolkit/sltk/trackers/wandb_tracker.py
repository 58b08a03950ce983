"""Log to Weights & Biases: RUN/wandb, and its servers unless WANDB_MODE says `offline`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..errors import Problem, UsageError
from ..runtime.optional_imports import import_optional
from .environment_defaults import environment_defaults

_CACHES = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR")


class WandbTracker:
    """A run of W&B with the project that WANDB_PROJECT names, `sltk` by default. A resumed run continues it."""

    def __init__(self, folder: Path, run: str, parameters: Mapping[str, str], run_id: str | None) -> None:
        wandb = import_optional("wandb", "`log_to: [wandb]`", "wandb")
        with _inside(folder / "wandb"):
            try:
                self._run: Any = wandb.init(
                    project=os.environ.get("WANDB_PROJECT") or "sltk",
                    name=run,
                    dir=os.environ.get("WANDB_DIR") or str(folder),
                    id=run_id,
                    resume="allow" if run_id else None,
                    config=dict(parameters),
                    reinit="create_new",
                    settings=wandb.Settings(console="off", silent=True),
                )
            except wandb.errors.Error as error:
                note = "`wandb login`, or WANDB_MODE=offline to log into the run directory only"
                message = f"cannot log to wandb: {str(error).strip().splitlines()[0]}"
                raise UsageError(Problem(message, notes=(note,))) from error
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        self.run_id: str | None = self._run.id

    def started(self, done: int) -> None:
        """Nothing: numbers of repeated updates are logged again, with the same `step`."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of an update."""
        self._run.log({"step": step, **values})

    def finish(self, error: BaseException | None) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if error is None else 1)


def _inside(folder: Path) -> AbstractContextManager[None]:
    """Keep caches and logs of the library below `folder`, and its error reports on this machine."""
    return environment_defaults({**dict.fromkeys(_CACHES, str(folder)), "WANDB_ERROR_REPORTING": "false"})
