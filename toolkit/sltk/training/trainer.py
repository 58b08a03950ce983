"""transformers' Trainer for packed batches.

The loop, accumulation, optimizers, schedules, DDP and resuming are those of transformers. What differs: batches are
packed, a checkpoint holds only the trainable weights and appears completely or not at all, and validation is
scored by the code that scores everything else.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from ..errors import RunError
from ..files import atomic, manifest
from ..files.damage import damaged, report_damage
from ..files.disk_space import disk_errors
from ..nn import sharding
from ..nn.batching import batch_on
from ..nn.trainable import TrainableModule
from ..preview.pass_plan import PassPlan
from ..runtime import processes
from ..spec.learning_rates import LearningRates
from ..spec.recipes import Recipe
from . import parameter_groups, sharded_optimizer, trainer_methods
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
from .epoch_batches import EpochBatches, Examples
from .gradient_average import average_gradients
from .loss_scaling import ADVICE, LossScaler
from .micro_batches import MicroBatches, Update
from .weight_average import WeightAverage

trainer_methods.check(Trainer)


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Trainer for a `Tagger` or another network that reads packed batches.

    Args:
        network: its forward takes a batch and `num_items_in_batch`, and returns `{"loss"}`.
        evaluate: returns the current scores, with the selecting one as `score`; None without validation data.
        describe: returns a name for the training sample with a number, for error messages.
        recipe: which gradients form an update, and what the schedule counts.
        spec_digest: recorded in the manifest of each checkpoint.
        plan: how updates are divided into forward passes.
        note: receives a line when memory runs out and an update is repeated.
        scaler: scales the loss, for float16.
        average: follows the weights, and is evaluated and saved in their place.
        record: receives the plan, again if it changes.
        rates: the learning rates of the parts of the network.
    """

    def __init__(
        self,
        network: TrainableModule,
        examples: Examples,
        arguments: TrainingArguments,
        *,
        data_seed: int,
        evaluate: Callable[[], dict[str, float]] | None,
        describe: Callable[[int], str],
        callbacks: list[TrainerCallback],
        recipe: Recipe,
        plan: PassPlan,
        note: Callable[[str], None],
        record: Callable[[dict[str, Any]], None],
        rates: LearningRates,
        spec_digest: str | None = None,
        scaler: LossScaler | None = None,
        average: WeightAverage | None = None,
    ) -> None:
        self._recipe, self._rates, self._average = recipe, rates, average
        self._spec_digest = spec_digest
        self._data_seed = data_seed
        self._score = evaluate
        self._describe = describe
        self._partial: str | None = None
        self._manifest: manifest.ManifestWriter | None = None
        self.control: Any
        self._update = Update([], [])
        """The current update of this process."""
        self.session = Session()
        self._is_sharded = sharding.is_sharded(network)
        # The Trainer then neither moves the model nor wraps it for data parallelism.
        network.is_distributed_loading_by_transformers = self._is_sharded  # type: ignore[assignment]
        super().__init__(
            model=network,
            args=arguments,
            train_dataset=examples,
            eval_dataset=examples if evaluate else None,  # required but never read: see `evaluate`
            data_collator=examples.collate,
            callbacks=callbacks if average is None else [average, *callbacks],
        )
        self.scaler = self.accelerator.scaler = scaler  # saved and restored by the Trainer
        self.micro_batches = MicroBatches(
            examples.collate,
            plan,
            can_change=recipe.accumulates
            and not self._is_sharded
            and not network.backbone.attends_to_padding
            and not any(getattr(callback, "needs_batches", False) for callback in callbacks),
            copies=network.backbone.copies,
            device=arguments.device,
            note=note,
            record=record,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of the samples of this process; `MicroBatches` packs them."""
        args, examples = self.args, self.train_dataset
        batches = EpochBatches(
            len(examples),
            args.per_device_train_batch_size,
            self._data_seed,
            args.process_index,
            args.world_size,
            examples.on_epoch,
            examples.draws,
        )
        return DataLoader(examples, batch_sampler=batches, collate_fn=list)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The update in place of its last batch, None in place of the others, and the divisor of its loss.

        The divisor is the number of words with a tag, in all processes.
        """
        batches = list(islice(epoch_iterator, num_batches))
        if not batches:
            return [], None
        self._update = self.micro_batches.update(batches if self._recipe.accumulates else batches[-1:])
        words = sum(processes.gather_objects(self._update.labels))
        self.session.words += words
        if not self._recipe.accumulates:
            words *= self.args.gradient_accumulation_steps
        return [*[None] * (len(batches) - 1), self._update], max(1, words)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Do all forward and backward passes of an update when its last batch is due. Returns their loss."""
        update: Update | None = inputs
        if update is None:
            return torch.zeros((), device=self.args.device)

        def run_pass(batch: Mapping[str, Any]) -> Tensor:
            with self.accelerator.no_sync(model):  # see `average_gradients`
                inputs = batch_on(batch, self.args.device)
                loss: Tensor = Trainer.training_step(self, model, inputs, num_items_in_batch)
            return loss

        if self._is_sharded:  # the processes compute in step, so none can repeat an update
            update.losses = [run_pass(batch) for batch in update.passes]
        else:
            self.micro_batches.compute(update, run_pass, model.zero_grad)
        if self._is_sharded or isinstance(model, DistributedDataParallel):
            average_gradients([p for p in sharding.whole(model) if p.requires_grad])
        loss = torch.stack(update.losses).sum()
        # The log has the mean over words.
        return loss if self._recipe.accumulates else loss * self.args.gradient_accumulation_steps

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted."""
        return 0

    def create_optimizer(self, model: Any = None) -> Any:
        """Create the optimizer, with groups of weights by learning rate.

        The gates of a learned mask have their own learning rate, and no weight decay.
        """
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new:
            parameter_groups.separate(optimizer, self.model, self._rates)
        gates = self.model.gates
        if gates is not None and is_new:
            own = list(gates.parameters())
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if all(p is not gate for gate in own)]
            settings = {"lr": gates.learning_rate, "weight_decay": 0.0}
            optimizer.add_param_group({"params": own, **settings})
        return optimizer

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Log values; with the loss, how open each block is while a mask is learned."""
        if self.model.gates is not None and "loss" in logs:
            logs["gates"] = [round(each, 6) for each in self.model.gates.probabilities()]
        super().log(logs, start_time)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Create the schedule over the number of steps that the recipe counts."""
        horizon = self._recipe.horizon(
            num_training_steps, len(self.get_train_dataloader()), self.args.gradient_accumulation_steps
        )
        return super().create_scheduler(horizon, optimizer)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm of the gradient. A loss or a norm that is not finite would ruin the weights, and ends the run.

        The losses are read here, where the norm is needed anyway, because each reading waits for the device.
        """
        if grad_norm is None:
            self._unscale()
        norm = super()._get_grad_norm(model, grad_norm)
        losses = torch.stack(self._update.losses).tolist()
        for loss, batch in zip(losses, self._update.passes, strict=True):
            if not math.isfinite(loss):
                advice = f"; numbers of float16 end at 65,504: {ADVICE}" if self.scaler is not None else ""
                self._fail(f"the loss became {loss}{advice}", batch["numbers"])
        if not math.isfinite(float(norm)):
            if self.scaler is not None and self._is_skipped(self.scaler):
                return None
            processes.barrier()  # ends here if the loss of another process, which names its sentences, is the reason
            self._fail(f"the norm of the gradient became {float(norm)}", self._update.numbers)
        return norm

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        self._unscale()
        return super()._clip_grad_norm(model)

    def _unscale(self) -> None:
        """Divide the gradient by the scale of the loss, before its norm is computed."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer.optimizer)

    def _is_skipped(self, scaler: LossScaler) -> bool:
        """Whether this update is skipped because its gradient overflowed float16."""
        is_skipped = scaler.overflows(self.optimizer.optimizer, self.state.global_step + 1)
        if scaler.has_collapsed:
            what = (
                f"the gradient overflows float16 even without scaling ({scaler.skipped} updates were skipped)"
            )
            self._fail(f"{what}: {ADVICE}, or a lower learning rate", self._update.numbers)
        return is_skipped

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with report_damage(Path(checkpoint) / "scaler.pt"):
                super()._load_scaler(checkpoint)

    def _fail(self, what: str, numbers: Sequence[int]) -> None:
        sentences = "\n".join(f"  {self._describe(number)}" for number in numbers)
        update = self.state.global_step + 1
        raise RunError(f"{what} at update {update}; the sentences of the batch:\n{sentences}")

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the validation data with the `evaluate` of the task."""
        assert self._score is not None
        start_time, start_cpu = time.perf_counter(), time.process_time()
        with self._average.in_use() if self._average is not None else nullcontext():
            score = self._score()
        shared = processes.broadcast(score)  # so that all select the same epoch, and stop together
        scores = {f"eval_{key}": value for key, value in shared.items()}
        self.session.evaluating += time.perf_counter() - start_time
        self.session.evaluating_cpu += time.process_time() - start_cpu
        self.log(dict(scores))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Record the step of the best score; the Trainer does so only if it decides when to save, and `Saving` does."""
        is_best = bool(super()._determine_best_metric(metrics, trial))
        if is_best:
            self.state.best_global_step = self.state.global_step
        return is_best

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

    def _sync_replicated_trainable_parameters(self, model: nn.Module) -> None:
        """Head and aligner start equal in all processes, and `training_step` averages their gradients."""

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

    def use_average(self) -> None:
        """End with the averaged weights, if there are some."""
        if self._average is not None:
            self._average.apply()

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
