"""Runs by way of Slurm, or of any scheduler: a script that is submitted by hand."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from ...errors import UsageError
from ...files import atomic
from ...runtime.jobs import Work
from ..registry import register
from ..slots import Executor
from .local import LocalExecutor

Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/,%=+-]+$")]


@register.executor("slurm")
class SlurmExecutor(Executor):
    """Writes an array script for Slurm, a shard of the runs for each of its tasks; `sbatch` is yours to call.

    Finished runs are in the folder of the sweep as ever. The same command shows how it stands.
    """

    shards: int | None = Field(default=None, ge=1, description="tasks of the array; null: one a run")
    at_once: int | None = Field(default=None, ge=1, description="tasks at a time; null: as Slurm likes")
    time: Word | None = Field(default=None, description="limit of a task, as in 12:00:00")
    partition: Word | None = Field(default=None, description="where to run")
    account: Word | None = Field(default=None, description="who pays")
    gpus: int = Field(default=1, ge=0, description="GPUs of a task")
    cpus: int = Field(default=4, ge=1, description="CPU cores of a task")
    memory: Word | None = Field(default=None, description="main memory of a task, as in 32G")
    options: dict[Word, Word | int] = Field(default={}, description="further options, as in {qos: long}")
    setup: list[Line] = Field(default=[], description="shell commands before the run, as in module load cuda")

    def execute(self, work: Work) -> None:
        """Write `slurm/array.sh` into the folder of the sweep, and say how it is submitted.

        Raises:
            UsageError: a limit was asked for, which many tasks cannot keep.
        """
        if work.limit is not None:
            raise UsageError("executor `slurm` runs all that is left: leave out --limit, or give --only")
        script = work.folder.absolute() / "slurm" / "array.sh"
        atomic.write_text(script, self.script(work.folder.absolute(), work.planned, work.arguments))
        work.note(f"submit it with: sbatch {shlex.quote(str(script))}")

    def for_shard(self) -> Executor:
        """A task of the array runs its shard where it is."""
        return LocalExecutor()

    def script(self, folder: Path, runs: int, arguments: list[str]) -> str:
        """The text of the script for a sweep of so many runs."""
        count = min(self.shards or runs, runs)
        sweep = [sys.executable, "-m", "sltk", "sweep", str(folder / "sweep.yaml"), "--output", str(folder)]
        command = shlex.join([*sweep, *arguments])
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH --{option}" for option in self._options(folder, count)),
            "set -eu",
        ]
        return "\n".join([*lines, *self.setup, f'{command} --shard "$SLURM_ARRAY_TASK_ID/{count}"', ""])

    def _options(self, folder: Path, count: int) -> list[str]:
        at_once = f"%{self.at_once}" if self.at_once else ""
        given = {
            "job-name": "sltk-sweep",
            "array": f"1-{count}{at_once}",
            "output": f'"{folder}/logs/slurm-%A_%a.out"',
            "time": self.time,
            "partition": self.partition,
            "account": self.account,
            "gres": f"gpu:{self.gpus}" if self.gpus else None,
            "cpus-per-task": self.cpus,
            "mem": self.memory,
            **self.options,
        }
        return [f"{name}={value}" for name, value in given.items() if value is not None] + ["requeue"]
