"""Chooses how a run divides its updates into forward passes, from its samples and the free memory of its device."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, pstdev

import torch

from ..nn.language_model import LanguageModel
from ..preview import pass_plan
from ..preview.estimate import training_memory
from ..preview.memory import largest_batch
from ..preview.pass_plan import PassPlan
from ..runtime import processes
from ..runtime.progress import Progress
from ..spec.trainer_settings import TrainerSpec
from .checkpoints import Session
from .task import Task

_MEASURED = 10_000
"""Samples whose lengths are looked at; more would take seconds."""


def choose(task: Task, trainer: TrainerSpec, newest: Path | None, progress: Progress) -> PassPlan:
    """The forward passes of a run; it is noted what `auto` means.

    A run that resumes from `newest` keeps its passes, so that its numbers do not depend on the interruption.
    """
    free = [each for each in processes.gather_objects(free_bytes(task.device)) if each is not None]
    plan = _for_gpu(task, trainer, min(free)) if free else pass_plan.as_in_spec(trainer)
    most = plan.micro_batch_tokens if newest is None else Session.of(newest).micro_batch_tokens
    if most is not None and trainer.micro_batch_tokens == "auto":
        progress.note(f"forward passes of at most {most:,} subwords (`micro_batch_tokens: auto`)")
    if plan.reason is not None:
        progress.note(f"gradient checkpointing is on (`auto`): {plan.reason}")
    return PassPlan(most, plan.gradient_checkpointing, plan.reason)


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a CUDA device, with what torch has reserved and does not use; None for other devices."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _for_gpu(task: Task, trainer: TrainerSpec, free: int) -> PassPlan:
    network = task.network
    resolved = trainer.model_copy(update={"precision": network.backbone.precision})
    memory = None
    if task.backbone is not None and not network.backbone.attends_to_padding:
        is_language_model = isinstance(network, LanguageModel)
        shards = 1 if trainer.sharding == "none" else processes.world_size()
        memory = training_memory(
            task.backbone, resolved, "gpu", language_model=is_language_model, shards=shards
        )
    if memory is None:
        return pass_plan.as_in_spec(trainer)
    samples = task.examples.samples
    copies = network.backbone.copies
    lengths = [copies * samples[n].tokens for n in range(0, len(samples), -(-len(samples) // _MEASURED))]
    mean, spread = fmean(lengths), pstdev(lengths)
    return pass_plan.for_gpu(
        memory,
        lambda sentences: largest_batch(sentences, max(lengths), mean, spread),
        free,
        can_checkpoint=network.backbone.can_checkpoint,
    )
