"""transformers' Trainer, fitted to packed batches: our batches, our checkpoints, our evaluation; its loop.

What Trainer does well stays Trainer's: the loop, accumulation, optimizers, schedules, DDP, resuming.
What differs: a batch is packed; a checkpoint holds only what is trained, and appears whole or not at all;
validation is scored by the pipeline that scores everything else.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

from . import atomic
from .errors import RunError
from .nn.batching import Sample, ignored, pack
from .nn.tagger import Tagger
from .progress import Progress
from .spec import TrainerSpec

TRAINED = "trained.safetensors"
STATE = "trainer_state.json"
_OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "sgd": "sgd",
}
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class EpochBatches(Sampler[list[int]]):
    """Positions of the samples of each batch: shuffled by seed and epoch, the same for any number of processes.

    Batch k of a run of n processes is shared out among them, `batch_size` each. Where the last one does not go
    round, a process left empty gets `-1 - position`: a sentence to compute without a loss, so that nothing is
    trained on twice and no process waits for another.
    """

    def __init__(self, samples: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0

    @property
    def batch_sampler(self) -> EpochBatches:
        """Itself: Trainer tells the epoch to the sampler that it expects inside a wrapper."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.samples / (self.batch_size * self.processes))

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.samples, generator=generator).tolist()
        together = self.batch_size * self.processes
        for start in range(0, self.samples, together):
            shared = order[start : start + together]
            own = shared[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
            yield own or [-1 - shared[0]]


class _Samples(torch.utils.data.Dataset[Sample]):
    """The training samples; a negative position asks for a sentence without its loss."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Sample:
        return self.samples[position] if position >= 0 else ignored(self.samples[-1 - position])


class TaggerTrainer(Trainer):
    """Trainer for a `Tagger`."""

    def __init__(
        self,
        tagger: Tagger,
        samples: Sequence[Sample],
        arguments: TrainingArguments,
        *,
        batch_size: int,
        data_seed: int,
        evaluate: Callable[[], dict[str, float]] | None,
        describe: Callable[[int], str],
        callbacks: list[TrainerCallback],
    ) -> None:
        self._batches = (batch_size, data_seed)
        self._score = evaluate
        self._describe = describe
        self._partial: str | None = None
        self.words_trained = 0
        super().__init__(
            model=tagger,
            args=arguments,
            train_dataset=_Samples(samples),
            eval_dataset=_Samples(samples[:1]) if evaluate else None,  # asked for, never read: see `evaluate`
            data_collator=pack,
            callbacks=callbacks,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Packed batches of this process's share."""
        batch_size, seed = self._batches
        batches = EpochBatches(
            len(self.train_dataset), batch_size, seed, self.args.process_index, self.args.world_size
        )
        return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=pack)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass; a loss that is not a number ends the run."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not math.isfinite(loss.item()):
            sentences = "\n".join(f"  {self._describe(number)}" for number in inputs["numbers"])
            raise RunError(
                f"the loss became {loss.item()} at update {self.state.global_step + 1}; its sentences:\n{sentences}"
            )
        self.words_trained += sum(inputs["words_per_sentence"])
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores on the validation data, by the caller's own pipeline."""
        assert self._score is not None
        scores = {f"eval_{key}": value for key, value in self._score().items()}
        self.log(dict(scores))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _get_output_dir(self, trial: Any) -> str:
        return self._partial or str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside, bring it to disk, then give it its name.

        Trainer's own `checkpoint-N` exists before it is whole, and without its optimizer file it would be
        resumed from quietly, with other weights.
        """
        folder = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        aside = folder / ".partial"
        if self.args.should_save:
            shutil.rmtree(aside, ignore_errors=True)
            (aside / name).mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self._partial = str(aside)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._partial = None
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            atomic.publish(aside / name, folder / name)
            self._remove_old(folder)

    def _remove_old(self, folder: Path) -> None:
        """Keep the newest checkpoint, and the best one where a best one is wanted."""
        keep = {self.state.global_step}
        if self.args.metric_for_best_model and self.state.best_global_step:
            keep.add(self.state.best_global_step)
        for step, path in checkpoints(folder).items():
            if step not in keep:
                # Renamed first: a half-deleted folder must not look like a checkpoint.
                retired = path.with_name(f".old-{step}")
                path.rename(retired)
                shutil.rmtree(retired, ignore_errors=True)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            assert output_dir is not None
            save_file(self.accelerator.unwrap_model(self.model).trained_state(), str(Path(output_dir) / TRAINED))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.model.load_trained_state(load_file(str(Path(resume_from_checkpoint) / TRAINED)))


class _Reporter(TrainerCallback):  # type: ignore[misc]
    """Passes Trainer's events on to a `Progress`."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.trainer: TaggerTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.progress.started(state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            assert self.trainer is not None
            self.progress.step(state.global_step, self.trainer.words_trained)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if state.is_world_process_zero:
            self.progress.logged({"step": state.global_step, **(logs or {})})


def checkpoints(folder: Path) -> dict[int, Path]:
    """The complete checkpoints of a folder by update, oldest first."""
    found = {int(path.name.rsplit("-", 1)[1]): path for path in folder.glob("checkpoint-*") if path.is_dir()}
    whole = {step: path for step, path in found.items() if _is_whole(path)}
    return dict(sorted(whole.items()))


def _is_whole(path: Path) -> bool:
    names = {file.name for file in path.iterdir()}
    return {TRAINED, STATE, "optimizer.pt", "scheduler.pt"} <= names


def make_trainer(
    tagger: Tagger,
    samples: Sequence[Sample],
    spec: TrainerSpec,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
    evaluate: Callable[[], dict[str, float]] | None,
    describe: Callable[[int], str],
    progress: Progress,
) -> TaggerTrainer:
    """A trainer as the spec describes it, writing checkpoints to `folder`."""
    reporter = _Reporter(progress)
    callbacks: list[TrainerCallback] = [reporter]
    if spec.early_stopping is not None:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=spec.early_stopping))
    trainer = TaggerTrainer(
        tagger,
        samples,
        training_arguments(spec, folder, seed, device, has_validation=evaluate is not None),
        batch_size=spec.batch_size,
        data_seed=seed if spec.data_seed is None else spec.data_seed,
        evaluate=evaluate,
        describe=describe,
        callbacks=callbacks,
    )
    trainer.pop_callback(_trainer_printer())
    reporter.trainer = trainer
    return trainer


def _trainer_printer() -> type[TrainerCallback]:
    from transformers import PrinterCallback

    return PrinterCallback


def training_arguments(
    spec: TrainerSpec, folder: Path, seed: int, device: torch.device, *, has_validation: bool
) -> TrainingArguments:
    """The spec in Trainer's terms."""
    follows_best = has_validation and (spec.select == "best" or spec.early_stopping is not None)
    optimizer = spec.optimizer if device.type == "cuda" else spec.optimizer.removeprefix("paged_").removesuffix("_8bit")
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=spec.epochs,
        max_steps=spec.max_steps or -1,
        per_device_train_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        learning_rate=spec.learning_rate,
        optim=_OPTIMIZERS[optimizer],
        adam_beta1=spec.betas[0],
        adam_beta2=spec.betas[1],
        adam_epsilon=spec.eps,
        weight_decay=spec.weight_decay,
        lr_scheduler_type=_SCHEDULES[spec.schedule],
        warmup_steps=spec.warmup,
        max_grad_norm=spec.clip or 0.0,
        eval_strategy="epoch" if has_validation else "no",
        save_strategy="steps" if spec.save_every and not follows_best else "epoch",
        save_steps=spec.save_every or 500,
        logging_steps=10,
        logging_nan_inf_filter=False,
        metric_for_best_model="score" if follows_best else None,
        greater_is_better=True if follows_best else None,
        restore_callback_states_from_checkpoint=True,
        report_to=list(spec.log_to) or "none",
        disable_tqdm=True,
        seed=seed,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,
        **_launcher_settings(device),
    )
    _ = arguments.device  # settles how many devices there are …
    arguments._n_gpu = min(1, arguments._n_gpu)  # … of which this process uses one: several need a launcher
    return arguments


def _launcher_settings(device: torch.device) -> dict[str, Any]:
    """The back end of DDP, which Trainer accepts under a launcher only."""
    import os

    if "LOCAL_RANK" not in os.environ:
        return {}
    return {"ddp_backend": "gloo" if device.type == "cpu" else "nccl"}

