"""transformers' Trainer for packed batches.

The loop, accumulation, optimizers, schedules, DDP and resuming are those of transformers. What differs: batches are
packed, a checkpoint holds only the trainable weights and appears completely or not at all, and validation is
scored by the code that scores everything else.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from ..errors import RunError, UsageError
from ..files import atomic
from ..nn import batching
from ..nn.trainable import TrainableModule
from ..runtime import processes
from ..spec.recipes import Recipe

TRAINED = "trained.safetensors"
STATE = "trainer_state.json"
SESSION = "session.json"
_REQUIRED_FILES = frozenset({TRAINED, STATE, SESSION, "optimizer.pt", "scheduler.pt"})


class EpochBatches(Sampler[list[int]]):
    """Positions of the samples of each batch, shuffled by seed and epoch, for any number of processes.

    Batch k of a run with n processes has `n * batch_size` samples, `batch_size` for each process. If the last batch
    leaves a process without samples, that process gets `-1 - position`: a sample to compute without a loss, so
    that no sample is trained on twice and no process waits for another.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        on_epoch: Callable[[int], None] | None = None,
    ) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self._on_epoch = on_epoch

    @property
    def batch_sampler(self) -> EpochBatches:
        """The sampler itself: the Trainer sets the epoch of a sampler that it expects inside a wrapper."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Select the order of this epoch."""
        self.epoch = epoch
        if self._on_epoch is not None:
            self._on_epoch(epoch)

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


@dataclass(frozen=True)
class Examples(torch.utils.data.Dataset[Any]):
    """Training samples, by default sentences with tags, and how they are collated into batches.

    A batch is a mapping with `labels` (a tensor, -100 for no loss) and `numbers` (those of its samples).
    """

    samples: Sequence[Any]
    collate: Callable[[Sequence[Any]], Mapping[str, Any]] = batching.pack
    without_loss: Callable[[Any], Any] = batching.without_loss
    """Returns the same sample without a loss, for a process that the last batch leaves without samples."""
    on_epoch: Callable[[int], None] | None = None
    """Called with the number of each epoch before its samples are read."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Any:
        """Return the sample at a position; a negative position returns it without its loss."""
        return self.samples[position] if position >= 0 else self.without_loss(self.samples[-1 - position])


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Trainer for a `Tagger` or another network that reads packed batches.

    Args:
        network: its forward takes a batch and `num_items_in_batch`, and returns `{"loss"}`.
        evaluate: returns the current scores, with the selecting one as `score`; None without validation data.
        describe: returns a name for the training sample with a number, for error messages.
        recipe: which gradients form an update, and what the schedule counts.
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
    ) -> None:
        self._recipe = recipe
        self._data_seed = data_seed
        self._score = evaluate
        self._describe = describe
        self._partial: str | None = None
        self.control: Any
        self._numbers: list[int] = []
        """Numbers of this process's samples in the current update."""
        self.session = Session()
        super().__init__(
            model=network,
            args=arguments,
            train_dataset=examples,
            eval_dataset=examples if evaluate else None,  # required but never read: see `evaluate`
            data_collator=examples.collate,
            callbacks=callbacks,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Packed batches of this process."""
        args, examples = self.args, self.train_dataset
        batches = EpochBatches(
            len(examples),
            args.per_device_train_batch_size,
            self._data_seed,
            args.process_index,
            args.world_size,
            examples.on_epoch,
        )
        return DataLoader(examples, batch_sampler=batches, collate_fn=examples.collate)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The batches of one update, and the divisor of its loss: their words with a tag, in all processes."""
        batches, words = super().get_batch_samples(epoch_iterator, num_batches, device)
        counted = batches if self._recipe.accumulates else batches[-1:]
        if not self._recipe.accumulates:
            words = self._get_num_items_in_batch(counted, device)
        self._numbers = [number for batch in counted for number in batch["numbers"]]
        self.session.words += int(words or 0)
        if not self._recipe.accumulates:
            words = words * self.args.gradient_accumulation_steps
        return batches, words

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Do one forward and backward pass; a loss that is not finite ends the run.

        A gradient that the recipe would discard is not computed.
        """
        if not self._recipe.accumulates and not self.accelerator.gradient_state.sync_gradients:
            return torch.zeros((), device=self.args.device)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not self._recipe.accumulates:
            loss = loss * self.args.gradient_accumulation_steps  # the log has the mean over words
        if not math.isfinite(loss.item()):
            self._fail(f"the loss became {loss.item()}", inputs["numbers"])
        return loss

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Create the schedule over the number of steps that the recipe counts."""
        horizon = self._recipe.horizon(
            num_training_steps, len(self.get_train_dataloader()), self.args.gradient_accumulation_steps
        )
        return super().create_scheduler(horizon, optimizer)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm of the gradient; one that is not finite would ruin the weights, and ends the run."""
        norm = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(float(norm)):
            self._fail(f"the norm of the gradient became {float(norm)}", self._numbers)
        return norm

    def _fail(self, what: str, numbers: Sequence[int]) -> None:
        sentences = "\n".join(f"  {self._describe(number)}" for number in numbers)
        update = self.state.global_step + 1
        raise RunError(f"{what} at update {update}; the sentences of the batch:\n{sentences}")

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the validation data with the `evaluate` of the task."""
        assert self._score is not None
        start_time = time.perf_counter()
        scores = {f"eval_{key}": value for key, value in self._score().items()}
        self.session.evaluating += time.perf_counter() - start_time
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
        self._partial = str(aside)
        try:
            super()._save_checkpoint(model, trial)  # every process adds its random state
        finally:
            self._partial = None
        processes.barrier()
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

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            assert output_dir is not None
            save_file(
                self.accelerator.unwrap_model(self.model).trainable_state(), str(Path(output_dir) / TRAINED)
            )
            atomic.write_json(Path(output_dir) / SESSION, self.session.as_json())

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.model.load_trainable_state(load_file(str(Path(resume_from_checkpoint) / TRAINED)))

    def resume(self, newest: Path | None) -> None:
        """Train to the end from the checkpoint `newest`, or from the start if it is None.

        Raises:
            RunError: the loss or the gradient is not finite.
            UsageError: the checkpoint is from a run with a different number of processes.
        """
        self.session = Session.of(newest) if newest else Session()
        if newest is not None:
            state = TrainerState.load_from_json(str(newest / STATE))
            if state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"]:
                # Training was complete. The Trainer would not know that early stopping had ended it.
                self.state = state
                self._load_from_checkpoint(str(newest))
                return
        self.train(resume_from_checkpoint=str(newest) if newest else None)

    def restore_best(self) -> None:
        """Restore the weights of the best epoch."""
        best = checkpoints(Path(self.args.output_dir))[self.state.best_global_step]
        self._load_from_checkpoint(str(best))


class Session:
    """Words and time that a run has taken so far, including those before it was resumed."""

    def __init__(self, words: int = 0, seconds: float = 0.0, evaluating: float = 0.0) -> None:
        self.words = words
        self.words_before = words
        self.evaluating = evaluating
        self._before = seconds
        self._start_time = time.perf_counter()

    @classmethod
    def of(cls, checkpoint: Path) -> Session:
        """Read the session in a checkpoint.

        Raises:
            UsageError: a different number of processes wrote it.
        """
        stored = json.loads((checkpoint / SESSION).read_text(encoding="utf-8"))
        before, now = stored.pop("processes"), processes.world_size()
        if before != now:
            raise UsageError(
                f"`{checkpoint}` is from a run with {before} processes, and this one has {now}: "
                "resume it with the same number"
            )
        return cls(**stored)

    @property
    def seconds(self) -> float:
        """Wall-clock time of training in seconds, including evaluations and checkpoints."""
        return self._before + time.perf_counter() - self._start_time

    @property
    def words_per_second(self) -> float:
        """Words trained on per second, without the time of evaluations."""
        return self.words / max(self.seconds - self.evaluating, 1e-9)

    def as_json(self) -> dict[str, float]:
        """The values that a checkpoint stores."""
        return {
            "words": self.words,
            "seconds": self.seconds,
            "evaluating": self.evaluating,
            "processes": processes.world_size(),
        }


def checkpoints(folder: Path) -> dict[int, Path]:
    """The complete checkpoints in a folder by update, oldest first."""
    folders = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _is_complete(path)]
    return dict(sorted((int(path.name.rsplit("-", 1)[1]), path) for path in folders))


def _is_complete(path: Path) -> bool:
    names = {file.name for file in path.iterdir()}
    return names >= _REQUIRED_FILES and any(name.startswith("rng_state") for name in names)
