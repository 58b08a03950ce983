"""Train a network as a spec describes it: `fit` sets up the Trainer, runs it, and measures the cost of training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, TrainingArguments

from ..preview import pass_plan
from ..preview.pass_plan import PassPlan
from ..runtime import cost, processes
from ..runtime.progress import Progress
from ..spec.learning_rates import LearningRates
from ..spec.recipes import RECIPES
from ..spec.trainer_settings import TrainerSpec
from . import pass_choice
from .checkpoints import ResumePoint
from .collective import check_setup, newest_checkpoint
from .loss_scaling import LossScaler
from .task import NetworkCallback, Task
from .trainer import PackedTrainer
from .weight_average import WeightAverage

_OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "sgd": "sgd",
}
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Fitted:
    """The result of training."""

    cost: dict[str, Any]
    """The `train` part of `metrics.json`."""
    is_evaluated: bool
    """Whether the last evaluation, here or before the run was resumed, was of the final weights."""


def fit(task: Task, spec: TrainerSpec, folder: Path, progress: Progress, *, resume: bool) -> Fitted:
    """Train the network in place, with checkpoints in `folder`.

    With `resume`, training continues from the newest complete checkpoint, and ends with exactly the weights of an
    uninterrupted run (on a CPU, with the same number of threads).

    Raises:
        RunError: the loss or the gradient is not a finite number.
        UsageError: no checkpoint can be used, although there are complete ones.
    """
    if not len(task.examples):
        return Fitted(_cost(task), is_evaluated=False)
    for callback in task.callbacks:
        if isinstance(callback, NetworkCallback):
            callback.prepare(task.network)
    newest = None
    if spec.sharding != "none" and processes.world_size() == 1:
        progress.note(
            f"sharding: {spec.sharding} has no effect in one process: start several with `torchrun`"
        )
    if resume:
        selects_best, averages = spec.select == "best", spec.ema is not None
        point = ResumePoint(task.network, task.spec_digest, selects_best, averages)
        newest = newest_checkpoint(point, folder, progress)
        progress.note(f"resuming from {newest.name}" if newest else "no checkpoint yet: starting over")
    plan = pass_choice.choose(task, spec, newest, progress)
    trainer = make_trainer(task, spec, folder, progress, plan)
    trainer.resume(newest)
    final_step = trainer.state.global_step
    if spec.select == "best" and trainer.state.best_global_step:
        trainer.restore_best()
        final_step = trainer.state.best_global_step
        best = f"update {trainer.state.best_global_step}, {trainer.state.best_metric:.4f}"
        progress.note(f"selected the best epoch by validation: {best}")
    trainer.use_average()
    evaluated = (entry["step"] for entry in reversed(trainer.state.log_history) if "eval_score" in entry)
    return Fitted(_cost(task, trainer), is_evaluated=next(evaluated, None) == final_step)


def _cost(task: Task, trainer: PackedTrainer | None = None) -> dict[str, Any]:
    """The cost of training; zeros if every weight is frozen and the model is used without training."""
    parameters = list(task.network.parameters())
    values: dict[str, Any] = dict.fromkeys(("seconds", "evaluation_seconds", "words_per_second"), 0.0)
    values |= {"words": 0, "epochs": 0, "steps": 0, "loss": None}
    if trainer is not None:
        state, session = trainer.state, trainer.session
        values |= {
            "seconds": round(session.seconds, 3),
            "evaluation_seconds": round(session.evaluating, 3),
            "words_per_second": round(session.words_per_second, 1),
            "words": session.words,
            "epochs": round(state.epoch or 0, 4),
            "steps": state.global_step,
            "loss": next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None),
        }
        if task.device.type == "cpu" and processes.world_size() == 1:  # CPU time is that of one process
            values["words_per_cpu_second"] = round(session.words_per_cpu_second, 1)
        if trainer.scaler is not None:
            values["skipped_updates"] = trainer.scaler.skipped
    return values | {
        "peak_memory_bytes": peak_memory(task.device),
        "parameters": sum(p.numel() for p in parameters),
        "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
    }


def peak_memory(device: torch.device) -> int:
    """Peak memory of the run in bytes: of the GPU if the device is one, otherwise of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return cost.peak_memory()


def make_trainer(
    task: Task, spec: TrainerSpec, folder: Path, progress: Progress, plan: PassPlan | None = None
) -> PackedTrainer:
    """Make the Trainer that a spec describes; it writes checkpoints to `folder`.

    Without a plan of its forward passes, `auto` means the batches of the spec.
    """
    plan = plan or pass_plan.as_in_spec(spec)
    if plan.gradient_checkpointing and spec.gradient_checkpointing == "auto":
        task.network.backbone.enable_checkpointing()
    batches = math.ceil(len(task.examples) / (spec.batch_size * processes.world_size()))
    saving = Saving(spec.save_every, math.ceil(batches / spec.gradient_accumulation))
    reporter = _Reporter(progress)
    rates = LearningRates(spec, len(task.network.backbone.flags))
    if not rates.are_equal:
        progress.note(f"peak learning rates: {rates.text()}")
    callbacks: list[TrainerCallback] = [saving, reporter, *task.callbacks]
    if spec.early_stopping is not None:
        callbacks.append(Patience(spec.early_stopping))
    trainer = PackedTrainer(
        task.network,
        task.examples,
        training_arguments(task, spec, folder, progress),
        data_seed=task.seed if spec.data_seed is None else spec.data_seed,
        evaluate=task.evaluate,
        describe=task.describe,
        callbacks=callbacks,
        recipe=RECIPES[spec.recipe],
        spec_digest=task.spec_digest,
        plan=plan,
        note=progress.note,
        scaler=_scaler(task, progress),
        record=task.record,
        rates=rates,
        average=None if spec.ema is None else WeightAverage(task.network, spec.ema),
    )
    trainer.pop_callback(PrinterCallback)
    reporter.trainer = trainer
    return trainer


def _scaler(task: Task, progress: Progress) -> LossScaler | None:
    """The loss scaler of a model that computes in float16."""
    is_float16 = getattr(task.network.backbone, "precision", "fp32") == "fp16"
    return LossScaler(task.device.type, progress.note) if is_float16 else None


def training_arguments(task: Task, spec: TrainerSpec, folder: Path, progress: Progress) -> TrainingArguments:
    """Translate the spec into the arguments of transformers' Trainer."""
    follows_best = task.evaluate and (spec.select == "best" or spec.early_stopping is not None)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=spec.epochs,
        max_steps=spec.max_steps or -1,
        per_device_train_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        learning_rate=spec.learning_rate,
        optim=_OPTIMIZERS[_usable_optimizer(spec.optimizer, task.device, progress)],
        adam_beta1=spec.betas[0],
        adam_beta2=spec.betas[1],
        adam_epsilon=spec.eps,
        weight_decay=spec.weight_decay,
        lr_scheduler_type=_SCHEDULES[spec.schedule],
        warmup_steps=spec.warmup,
        max_grad_norm=spec.clip or 0.0,
        eval_strategy="epoch" if task.evaluate else "no",
        save_strategy="no",  # see `Saving`
        logging_steps=10,
        logging_nan_inf_filter=False,
        metric_for_best_model="score" if follows_best else None,
        greater_is_better=True if follows_best else None,
        restore_callback_states_from_checkpoint=True,
        report_to="none",  # `trackers/` logs more, and into the run directory
        disable_tqdm=True,
        seed=task.seed,
        use_cpu=task.device.type == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        average_tokens_across_devices=True,
        # Gradients are exchanged by `average_gradients`, and no buffer changes in training.
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        **({"ddp_backend": processes.backend()} if processes.is_launched() else {}),
    )
    _ = arguments.device  # sets `_n_gpu`
    check_setup(arguments)
    arguments._n_gpu = min(1, arguments._n_gpu)  # one GPU per process: several need a launcher
    return arguments


def _usable_optimizer(name: str, device: torch.device, progress: Progress) -> str:
    """Fall back to AdamW, with a note, if an 8-bit optimizer has no GPU to run on."""
    if device.type == "cuda" or not name.endswith("_8bit"):
        return name
    progress.note(f"{name} needs a GPU: using adamw")
    return "adamw"


class Saving(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint after the evaluation of each epoch, and every `every` updates.

    Pending log entries are written first, so that a resumed run logs the same as an uninterrupted one.
    """

    def __init__(self, every: int | None, updates_per_epoch: int) -> None:
        self.every = every
        self.updates_per_epoch = updates_per_epoch

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save in the middle of an epoch."""
        ends_epoch = state.global_step % self.updates_per_epoch == 0 or control.should_training_stop
        if self.every and state.global_step % self.every == 0 and not ends_epoch:
            control.should_save = control.should_log = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save after the evaluation."""
        control.should_save = control.should_log = True


class Patience(EarlyStoppingCallback):  # type: ignore[misc]
    """Early stopping without the warning that transformers prints unless the Trainer loads the best model itself."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Skip the checks: the spec is valid."""


class _Reporter(TrainerCallback):  # type: ignore[misc]
    """Reports the Trainer's events through `Progress` callbacks."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.trainer: PackedTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.progress.started(state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            assert self.trainer is not None
            session = self.trainer.session
            self.progress.step(state.global_step, session.words - session.words_before)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if state.is_world_process_zero and "train_runtime" not in (logs or {}):  # metrics.json has that
            self.progress.logged({"step": state.global_step, **(logs or {})})
