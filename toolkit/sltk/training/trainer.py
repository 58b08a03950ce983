"""transformers' Trainer, fitted to packed batches: our batches, our checkpoints, our evaluation; its loop.

What Trainer does well stays Trainer's: the loop, accumulation, optimizers, schedules, DDP, resuming.
What differs: a batch is packed; a checkpoint holds only what is trained, and appears whole or not at all;
validation is scored by the pipeline that scores everything else.
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
_WHOLE = frozenset({TRAINED, STATE, SESSION, "optimizer.pt", "scheduler.pt"})


class EpochBatches(Sampler[list[int]]):
    """Positions of the samples of each batch: shuffled by seed and epoch, the same for any number of processes.

    Batch k of a run of n processes is shared out among them, `batch_size` each. Where the last one does not go
    round, a process left empty gets `-1 - position`: a sentence to compute without a loss, so that nothing is
    trained on twice and no process waits for another.
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
        """Itself: Trainer tells the epoch to the sampler that it expects inside a wrapper."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
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
    """What is trained on, and how it becomes a batch; here sentences with tags.

    A batch is a mapping with `labels` (a tensor, -100 where there is no loss) and `numbers` (of its samples).
    """

    samples: Sequence[Any]
    collate: Callable[[Sequence[Any]], Mapping[str, Any]] = batching.pack
    without_loss: Callable[[Any], Any] = batching.without_loss
    """The same sample with no loss: what a process computes when there is nothing left for it."""
    on_epoch: Callable[[int], None] | None = None
    """Told the number of each epoch before its samples are asked for."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Any:
        """A negative position asks for a sample without its loss."""
        return self.samples[position] if position >= 0 else self.without_loss(self.samples[-1 - position])


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Trainer for a `Tagger`, or another network that reads packed batches.

    Args:
        network: its forward takes a batch, and `num_items_in_batch`, and gives `{"loss"}`.
        evaluate: scores of the model as it is now, the one to choose by as `score`; None without validation.
        describe: names a training sentence, given its number in the data.
        recipe: which gradients make an update, and what the schedule counts.
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
        """Sentences of the update that is being computed, in this process."""
        self.session = Session()
        super().__init__(
            model=network,
            args=arguments,
            train_dataset=examples,
            eval_dataset=examples if evaluate else None,  # asked for, never read: see `evaluate`
            data_collator=examples.collate,
            callbacks=callbacks,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Packed batches of this process's share."""
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
        """The batches of one update, and what its loss is divided by: their words with a tag, in all processes."""
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
        """One forward and backward pass; a loss that is not a number ends the run.

        Where a recipe would throw a gradient away, it is not computed in the first place.
        """
        if not self._recipe.accumulates and not self.accelerator.gradient_state.sync_gradients:
            return torch.zeros((), device=self.args.device)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not self._recipe.accumulates:
            loss = loss * self.args.gradient_accumulation_steps  # what is logged is the mean over words
        if not math.isfinite(loss.item()):
            self._fail(f"the loss became {loss.item()}", inputs["numbers"])
        return loss

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule, over the horizon of the recipe."""
        horizon = self._recipe.horizon(
            num_training_steps, len(self.get_train_dataloader()), self.args.gradient_accumulation_steps
        )
        return super().create_scheduler(horizon, optimizer)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm of the gradient; one that is not a number would spoil the weights, and ends the run."""
        norm = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(float(norm)):
            self._fail(f"the norm of the gradient became {float(norm)}", self._numbers)
        return norm

    def _fail(self, what: str, numbers: Sequence[int]) -> None:
        sentences = "\n".join(f"  {self._describe(number)}" for number in numbers)
        raise RunError(f"{what} at update {self.state.global_step + 1}; its sentences:\n{sentences}")

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores on the validation data, by the caller's own pipeline."""
        assert self._score is not None
        begun = time.perf_counter()
        scores = {f"eval_{key}": value for key, value in self._score().items()}
        self.session.evaluating += time.perf_counter() - begun
        self.log(dict(scores))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Trainer keeps the step of the best score only where it decides when to save; here `Saving` does."""
        is_best = bool(super()._determine_best_metric(metrics, trial))
        if is_best:
            self.state.best_global_step = self.state.global_step
        return is_best

    def _get_output_dir(self, trial: Any) -> str:
        return self._partial or str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside, bring it to disk, then give it its name.

        Trainer's own `checkpoint-N` exists before it is whole, and without its optimizer file it would be
        resumed from quietly, with other weights.
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
            super()._save_checkpoint(model, trial)  # every process adds the state of its random numbers
        finally:
            self._partial = None
        processes.barrier()
        if self.args.should_save:
            atomic.publish(aside / name, folder / name)
            atomic.remove(aside)
            self._remove_old(folder)
        processes.barrier()

    def _remove_old(self, folder: Path) -> None:
        """Keep the newest checkpoint, and the best one where a best one is wanted."""
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
        """Train to the end, from the checkpoint `newest` on, or from the start.

        Raises:
            RunError: the loss or the gradient became something that is not a number.
            UsageError: the checkpoint is that of a run of another number of processes.
        """
        self.session = Session.of(newest) if newest else Session()
        if newest is not None:
            state = TrainerState.load_from_json(str(newest / STATE))
            if state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"]:
                # It was over when it was killed. Trainer would not know that early stopping had ended it.
                self.state = state
                self._load_from_checkpoint(str(newest))
                return
        self.train(resume_from_checkpoint=str(newest) if newest else None)

    def take_best(self) -> None:
        """Go back to the weights of the best epoch so far."""
        best = checkpoints(Path(self.args.output_dir))[self.state.best_global_step]
        self._load_from_checkpoint(str(best))


class Session:
    """What a run has cost so far, over all of its interruptions."""

    def __init__(self, words: int = 0, seconds: float = 0.0, evaluating: float = 0.0) -> None:
        self.words = words
        self.words_before = words
        self.evaluating = evaluating
        self._before = seconds
        self._begun = time.perf_counter()

    @classmethod
    def of(cls, checkpoint: Path) -> Session:
        """As it stood at a checkpoint.

        Raises:
            UsageError: another number of processes wrote it.
        """
        stored = json.loads((checkpoint / SESSION).read_text(encoding="utf-8"))
        found = stored.pop("processes")
        if found != processes.world_size():
            raise UsageError(
                f"`{checkpoint}` is of a run of {found} processes, and this one has {processes.world_size()}; "
                "resume it with as many"
            )
        return cls(**stored)

    @property
    def seconds(self) -> float:
        """Wall-clock time of training, with its evaluations and checkpoints."""
        return self._before + time.perf_counter() - self._begun

    @property
    def words_per_second(self) -> float:
        """Words trained on in a second; the time of evaluations does not count."""
        return self.words / max(self.seconds - self.evaluating, 1e-9)

    def as_json(self) -> dict[str, float]:
        """What a checkpoint keeps of it."""
        return {
            "words": self.words,
            "seconds": self.seconds,
            "evaluating": self.evaluating,
            "processes": processes.world_size(),
        }


def checkpoints(folder: Path) -> dict[int, Path]:
    """The complete checkpoints of a folder by update, oldest first."""
    found = {int(path.name.rsplit("-", 1)[1]): path for path in folder.glob("checkpoint-*") if path.is_dir()}
    whole = {step: path for step, path in found.items() if _is_whole(path)}
    return dict(sorted(whole.items()))


def _is_whole(path: Path) -> bool:
    names = {file.name for file in path.iterdir()}
    return names >= _WHOLE and any(name.startswith("rng_state") for name in names)
