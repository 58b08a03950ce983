"""Checkpoints of the weights that are trained, which appear completely or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn
from transformers import Trainer, TrainerState

from ..files import atomic, manifest
from ..files.damage import damaged, report_damage
from ..files.disk_space import disk_errors
from ..runtime import processes
from . import sharded_optimizer
from .checkpoints import (
    AVERAGED,
    SESSION,
    STATE,
    TRAINED,
    Session,
    check_optimizer,
    checkpoints,
    read_trained,
)
from .micro_batches import MicroBatches
from .weight_average import WeightAverage


class CheckpointedTrainer(Trainer):  # type: ignore[misc]
    """Trainer that saves and resumes a `TrainableModule`.

    Args:
        is_sharded: each process has a part of the weights.
        spec_digest: recorded in the manifest of each checkpoint.
        average: follows the weights, and is saved beside them.
    """

    micro_batches: MicroBatches

    def __init__(
        self,
        *,
        is_sharded: bool,
        spec_digest: str | None,
        average: WeightAverage | None,
        **arguments: Any,
    ) -> None:
        self._is_sharded, self._spec_digest, self._average = is_sharded, spec_digest, average
        self._partial: str | None = None
        self._manifest: manifest.ManifestWriter | None = None
        self.session = Session()
        super().__init__(**arguments)

    def _get_output_dir(self, trial: Any) -> str:
        return self._partial or str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint to a temporary folder, flush it to disk, then rename it.

        transformers creates `checkpoint-N` before it is complete, and would silently resume from one without an
        optimizer file, with different weights.
        """
        folder = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        aside = folder / ".checkpoint.partial-aside"
        if self.args.should_save:
            shutil.rmtree(aside, ignore_errors=True)
            (aside / name).mkdir(parents=True)
        processes.barrier()
        self._partial, self._manifest = str(aside), manifest.ManifestWriter(aside / name)
        try:
            with disk_errors(folder), self._manifest:
                super()._save_checkpoint(model, trial)  # every process adds its random state
                processes.barrier()
                if self.args.should_save:
                    self._manifest.finish(step=self.state.global_step, spec=self._spec_digest)
        except BaseException:
            if processes.world_size() == 1:  # others may still write to it; the run that resumes removes it
                shutil.rmtree(aside, ignore_errors=True)
            raise
        finally:
            self._partial = self._manifest = None
        if self.args.should_save:
            atomic.publish(aside / name, folder / name)
            atomic.remove(aside)
            self._remove_old(folder)
        processes.barrier()

    def _remove_old(self, folder: Path) -> None:
        """Keep the newest checkpoint, and the best one if the best epoch is selected."""
        keep = {self.state.global_step}
        if self.args.metric_for_best_model and self.state.best_global_step:
            keep.add(self.state.best_global_step)
        for step, path in checkpoints(folder).items():
            if step not in keep:
                atomic.remove(path)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self._is_sharded:
            super()._save_optimizer_and_scheduler(output_dir)
        else:
            sharded_optimizer.save(self.optimizer, self.lr_scheduler, Path(output_dir))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not (self._is_sharded or self.args.should_save):
            return
        trained = self.accelerator.unwrap_model(self.model).trainable_state()
        if self.args.should_save:
            assert output_dir is not None
            assert self._manifest is not None
            path = Path(output_dir) / TRAINED
            save_file(trained, str(path))
            self._manifest.add(path)  # while the optimizer is written
            if self._average is not None:
                save_file(self._average.state(), str(path.with_name(AVERAGED)))
            self.session.micro_batch_tokens = self.micro_batches.budget
            atomic.write_json(Path(output_dir) / SESSION, self.session.as_json())

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        state = read_trained(folder)
        with report_damage(folder / TRAINED):
            self.model.load_trainable_state(state)
        if self._average is not None:
            averages = read_trained(folder, AVERAGED)
            with report_damage(folder / AVERAGED):
                self._average.load(averages)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both from a checkpoint; transformers would train with a new optimizer if the file did not fit."""
        if checkpoint is None:
            return
        path = Path(checkpoint) / "optimizer.pt"
        with report_damage(path):
            if self._is_sharded:
                sharded_optimizer.load(self.optimizer, self.lr_scheduler, path.parent)
            else:
                super()._load_optimizer_and_scheduler(checkpoint)
        check_optimizer(self.optimizer, path)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with report_damage(Path(checkpoint) / "rng_state.pth"):
                super()._load_rng_state(checkpoint)

    def _load_callback_state(self) -> None:
        with report_damage(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / STATE):
            super()._load_callback_state()

    def resume(self, newest: Path | None) -> None:
        """Train to the end from the checkpoint `newest`, or from the start if it is None.

        Raises:
            RunError: the loss or the gradient is not finite.
            UsageError: the checkpoint is from a run with a different number of processes, or is damaged.
        """
        self.session = Session.of(newest) if newest else Session()
        if newest is not None:
            with report_damage(newest / STATE):
                state = TrainerState.load_from_json(str(newest / STATE))
            if state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"]:
                # Training was complete. The Trainer would not know that early stopping had ended it.
                self.state = state
                self._load_from_checkpoint(str(newest))
                return
        self.train(resume_from_checkpoint=str(newest) if newest else None)

    def restore_best(self) -> None:
        """Restore the weights of the best epoch.

        Raises:
            UsageError: its checkpoint is missing or damaged.
        """
        folder = Path(self.args.output_dir)
        best = checkpoints(folder).get(self.state.best_global_step)
        if best is None:
            raise damaged(
                folder / f"checkpoint-{self.state.best_global_step}", "the best checkpoint is missing"
            )
        manifest.verify(best)
        self._load_from_checkpoint(str(best))

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with report_damage(Path(checkpoint) / "scaler.pt"):
                super()._load_scaler(checkpoint)
