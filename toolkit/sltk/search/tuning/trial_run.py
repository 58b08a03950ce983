"""Trains one trial, and stops it early if its scores are hopeless. Imported only in the processes that train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ... import run
from ...files import atomic
from ...rundir.directory import RunDirectory
from ...runtime.progress import Progress
from .pruning import PastTrial, is_hopeless
from .space_values import Parameters
from .trial_files import TRIAL, reason_text, write_trial
from .tuning_spec import PruningSpec


class StoppedEarly(BaseException):
    """Ends the training of a trial. No error: handlers of `Exception` let it pass."""

    def __init__(self, epoch: int, score: float) -> None:
        super().__init__(f"stopped after epoch {epoch}")
        self.pruned = {"epoch": epoch, "score": round(score, 6)}


class PruneTrial(TrainerCallback):  # type: ignore[misc]
    """Records the values of the trial when training starts, and decides after each evaluation.

    The scores are those that select the best epoch. After the last update there is nothing to save, so the trial is
    not stopped.
    """

    def __init__(
        self, folder: Path, number: int, parameters: Parameters, rule: PruningSpec, past: Sequence[PastTrial]
    ) -> None:
        self.folder, self.number, self.parameters = folder, number, parameters
        self.rule, self.past = rule, past

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write `trial.json`."""
        if state.is_world_process_zero:
            write_trial(self.folder, self.number, self.parameters)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop a hopeless trial.

        Raises:
            StoppedEarly: the trial is hopeless.
        """
        # Scores of epochs before a run was resumed are in the history, too.
        scores = [entry["eval_score"] for entry in state.log_history if "eval_score" in entry]
        if state.global_step < state.max_steps and is_hopeless(self.rule, self.past, scores):
            raise StoppedEarly(len(scores), scores[-1])


def train_trial(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    resume: bool,
    force: bool,
    progress: Progress,
    number: int,
    parameters: Parameters,
    pruning: Mapping[str, Any],
    past: Sequence[PastTrial],
) -> dict[str, Any]:
    """Train a trial.

    Returns:
        Its metrics, or `{"pruned": reason}` if it was stopped early: then it has no model. Checkpoints are removed at
        the end in both cases, since they would be most of the disk space of a search.
    """
    callback = PruneTrial(folder, number, parameters, PruningSpec(**pruning), past)
    directory = RunDirectory(folder)
    try:
        metrics = run.train(
            spec, folder, resume=resume, force=force, progress=progress, callbacks=(callback,)
        )
    except StoppedEarly as stopped:
        write_trial(folder, number, parameters, stopped.pruned)
        atomic.remove(directory.checkpoints)
        return {"pruned": reason_text(stopped.pruned)}
    if not (folder / TRIAL).exists():  # there were no updates
        write_trial(folder, number, parameters)
    atomic.remove(directory.checkpoints)
    return metrics
