"""Writes a script that runs a sweep on Slurm; the user submits it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from ...errors import UsageError
from ...files import atomic
from ...runtime import cpus
from ...runtime.jobs import Work
from ..registry import register
from ..slots import Executor
from .local import LocalExecutor

Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/,%=+-]+$")]


@register.executor("slurm")
class SlurmExecutor(Executor):
    """Writes an array script for Slurm, with one shard of the runs per task, to be submitted with `sbatch`.

    Finished runs are in the folder of the sweep as usual. `sltk sweep SPEC --dry-run` shows the status.
    """

    shards: int | None = Field(
        default=None, ge=1, description="number of tasks in the array; null: one per run"
    )
    at_once: int | None = Field(default=None, ge=1, description="number of tasks in parallel; null: no limit")
    time: Word | None = Field(default=None, description="time limit per task, as in 12:00:00")
    partition: Word | None = Field(default=None, description="partition to submit to")
    account: Word | None = Field(default=None, description="account to charge")
    gpus: int = Field(default=1, ge=0, description="GPUs per task")
    cpus: int = Field(default=4, ge=1, description="CPU cores per task")
    memory: Word | None = Field(default=None, description="main memory per task, as in 32G")
    options: dict[Word, Word | int] = Field(
        default={}, description="further options of sbatch, as in {qos: long}"
    )
    setup: list[Line] = Field(default=[], description="shell commands to run first: `module load cuda`")

    def execute(self, work: Work) -> None:
        """Write `slurm/array.sh` into the folder of the sweep, and show the command to submit it.

        Raises:
            UsageError: the number of runs is limited, which independent tasks cannot do; or the name of the folder
                has a character that cannot be written in the script.
        """
        if work.limit is not None:
            raise UsageError(
                "executor `slurm` cannot limit the number of runs: remove --limit, or use --only"
            )
        script = work.folder.absolute() / "slurm" / "array.sh"
        atomic.write_text(script, self.script(work.folder.absolute(), work.planned, work.arguments))
        work.note(f"submit the sweep with: sbatch {shlex.quote(str(script))}")

    def for_shard(self) -> Executor:
        """A task of the array runs its shard on its own node."""
        return LocalExecutor()

    def script(self, folder: Path, runs: int, arguments: list[str]) -> str:
        """The text of the script for a sweep with this many runs.

        Raises:
            UsageError: the name of the folder has a character that cannot be written in the script.
        """
        _check_writable(str(folder), arguments)
        count = min(self.shards or runs, runs)
        # `-P`: no code from the working directory. The nodes may not have the user's record of trusted code.
        python = [sys.executable, "-P", "-m", "sltk"]
        sweep = ["sweep", "--trust-code", str(folder / "sweep.yaml"), "--output", str(folder)]
        command = shlex.join([*python, *sweep, *arguments])
        threads = min(self.cpus, cpus.requested_threads() or self.cpus)
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH --{option}" for option in self._options(folder, count)),
            "set -eu",
            # Not every cluster confines a task to its processors.
            f'export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{threads}}}"',
        ]
        return "\n".join([*lines, *self.setup, f'{command} --shard "$SLURM_ARRAY_TASK_ID/{count}"', ""])

    def _options(self, folder: Path, count: int) -> list[str]:
        at_once = f"%{self.at_once}" if self.at_once else ""
        options = {
            "job-name": "sltk-sweep",
            "array": f"1-{count}{at_once}",
            "output": f'"{_literal(folder)}/logs/slurm-%A_%a.out"',
            "time": self.time,
            "partition": self.partition,
            "account": self.account,
            "gres": f"gpu:{self.gpus}" if self.gpus else None,
            "cpus-per-task": self.cpus,
            "mem": self.memory,
            **self.options,
        }
        return [f"{name}={value}" for name, value in options.items() if value is not None] + ["requeue"]


def _check_writable(folder: str, arguments: Iterable[str]) -> None:
    """Refuse characters that end a line, or the quotation of the folder in a line `#SBATCH`."""
    for text, refused in [
        (folder, r'[\x00-\x1f\x7f"\\]'),
        *((each, r"[\x00-\x1f\x7f]") for each in arguments),
    ]:
        if match := re.search(refused, text):
            raise UsageError(
                f"executor `slurm` cannot write `{text}` in a script, because of the character {match[0]!r}: "
                "choose another --output, name or --only"
            )


def _literal(folder: Path) -> str:
    """The path in a file name pattern of sbatch, where `%` begins a placeholder."""
    return str(folder).replace("%", "%%")
