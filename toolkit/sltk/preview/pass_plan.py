"""What `auto` means on a GPU: the subwords of a forward pass, and whether activations are recomputed.

On a CPU, `auto` leaves batches as they are and keeps activations: a CPU is busy with any batch, larger passes would
only take more memory, and free memory depends on other programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..spec.recipes import RECIPES
from ..spec.trainer_settings import TrainerSpec
from .memory import TrainingMemory, largest_pass

DRIVER_BYTES = 2**29
"""What a GPU driver takes, and torch does not see."""
_SHARE = 0.8
"""Share to plan for of what optimizer and gradients leave: estimates are rough, and freed memory is in pieces."""
_MOST_TOKENS = 8192
"""Larger passes make no GPU faster."""
_FEWEST_TOKENS = 128


@dataclass(frozen=True)
class PassPlan:
    """How a run divides its updates into forward passes."""

    micro_batch_tokens: int | None = None
    """Most subwords per pass; None for the batches of the spec."""
    gradient_checkpointing: bool = False
    reason: str | None = None
    """Why activations are recomputed although the spec does not say so."""


def as_in_spec(trainer: TrainerSpec) -> PassPlan:
    """The plan without a GPU, or with a model of unknown size."""
    most = None if trainer.micro_batch_tokens == "auto" else trainer.micro_batch_tokens
    return PassPlan(most, trainer.gradient_checkpointing is True)


def for_gpu(
    memory: TrainingMemory, largest: Callable[[int], int], free: float, *, can_checkpoint: bool = True
) -> PassPlan:
    """The plan for a GPU with `free` bytes after the weights have been loaded.

    Args:
        memory: of the run, for a GPU.
        largest: subwords in the largest of many batches with this number of sentences.
        can_checkpoint: whether the family can recompute activations.
    """
    trainer = memory.trainer
    needed = largest_pass(trainer, largest)

    def fitting(checkpointing: bool) -> int:
        return int(_SHARE * memory.fitting_tokens(free, checkpointing=checkpointing))

    checkpointing, reason = trainer.gradient_checkpointing, None
    if checkpointing == "auto":
        checkpointing = can_checkpoint and fitting(False) < needed
        if checkpointing:
            reason = f"{needed} subwords in one forward pass need it, because only about {fitting(False)} fit"
    most = trainer.micro_batch_tokens
    if most != "auto":
        return PassPlan(most, checkpointing, reason)
    if memory.shards > 1 or not RECIPES[trainer.recipe].accumulates:
        return PassPlan(None, checkpointing, reason)
    return PassPlan(max(_FEWEST_TOKENS, min(_MOST_TOKENS, fitting(checkpointing))), checkpointing, reason)


def for_card(memory: TrainingMemory, largest: Callable[[int], int], size: float) -> PassPlan | None:
    """The plan for a GPU with `size` bytes and no other program; None if the model or an update does not fit."""
    free = size - DRIVER_BYTES - memory.weights()
    plan = for_gpu(memory, largest, free)
    fits = _SHARE * memory.fitting_tokens(free, checkpointing=plan.gradient_checkpointing)
    return plan if fits >= _FEWEST_TOKENS else None
