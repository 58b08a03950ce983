"""transformers' Trainer for packed batches.

The loop, accumulation, optimizers, schedules, DDP and resuming are those of transformers. What differs: batches are
packed, and validation is scored by the code that scores everything else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from ..errors import RunError
from ..nn import sharding
from ..nn.batching import batch_on
from ..nn.trainable import TrainableModule
from ..preview.pass_plan import PassPlan
from ..runtime import processes
from ..spec.learning_rates import LearningRates
from ..spec.recipes import Recipe
from . import parameter_groups, trainer_methods
from .checkpointed_trainer import CheckpointedTrainer
from .epoch_batches import EpochBatches, Examples
from .gradient_average import average_gradients
from .loss_scaling import ADVICE, LossScaler
from .micro_batches import MicroBatches, Update
from .weight_average import WeightAverage

trainer_methods.check(Trainer)


class PackedTrainer(CheckpointedTrainer):
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
        self._recipe, self._rates = recipe, rates
        self._data_seed = data_seed
        self._score = evaluate
        self._describe = describe
        self.control: Any
        self._update = Update([], [])
        """The current update of this process."""
        is_sharded = sharding.is_sharded(network)
        # The Trainer then neither moves the model nor wraps it for data parallelism.
        network.is_distributed_loading_by_transformers = is_sharded  # type: ignore[assignment]
        super().__init__(
            is_sharded=is_sharded,
            spec_digest=spec_digest,
            average=average,
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

    def _sync_replicated_trainable_parameters(self, model: nn.Module) -> None:
        """Head and aligner start equal in all processes, and `training_step` averages their gradients."""

    def use_average(self) -> None:
        """End with the averaged weights, if there are some."""
        if self._average is not None:
            self._average.apply()
