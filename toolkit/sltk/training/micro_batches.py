"""The forward passes of one update: as few as a budget of subwords allows.

The recipes that divide by the words of the whole update get the same gradient, up to rounding, from any division of its
sentences. So the sentences of several accumulated batches share forward passes, which a GPU needs to be busy; and if
memory runs out, the update is repeated with half the budget.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..files.memory_shortage import is_out_of_memory
from ..nn.trainable import has_loss
from ..preview.pass_plan import PassPlan
from ..runtime import processes
from ..subwords.samples import by_token_budget

Samples = Sequence[Any]
Batch = Mapping[str, Any]


@dataclass
class Update:
    """The samples of one update in this process, and the forward passes that they are packed into."""

    batches: Sequence[Samples]
    """As the spec divides them; those that the recipe leaves out are missing."""
    passes: list[Batch]
    losses: list[Tensor] = field(default_factory=list)
    """One per pass; on the device, so that no pass waits for the previous one."""

    @property
    def labels(self) -> int:
        """Number of words with a loss."""
        return sum(int(has_loss(batch["labels"]).sum()) for batch in self.passes)

    @property
    def numbers(self) -> list[int]:
        """The numbers of its samples."""
        return [number for batch in self.passes for number in batch["numbers"]]


class MicroBatches:
    """Divides updates into forward passes.

    Args:
        collate: packs samples into one batch.
        plan: its budget is the most subwords per pass; a longer sample has its own pass.
        can_change: whether another division gives the same update.
        copies: how often each sample is in its pass; the budget counts all copies.
        device: of the network, whose random numbers a repeated update draws again.
        note: receives a line when the budget is halved.
        record: receives the plan now, and again when the budget is halved.
    """

    def __init__(
        self,
        collate: Callable[[Samples], Batch],
        plan: PassPlan,
        *,
        can_change: bool,
        copies: int = 1,
        device: torch.device,
        note: Callable[[str], None],
        record: Callable[[dict[str, Any]], None],
    ) -> None:
        self.budget = plan.micro_batch_tokens if can_change else None
        self._checkpointing = plan.gradient_checkpointing
        self._collate, self._device, self._note, self._record = collate, device, note, record
        self._can_halve, self._copies = can_change, copies
        self._record_plan()

    def update(self, batches: Sequence[Samples]) -> Update:
        """The update of these batches."""
        return Update(batches, [self._collate(samples) for samples in self._divided(batches)])

    def _divided(self, batches: Sequence[Samples]) -> Sequence[Samples]:
        if self.budget is None:
            return batches
        samples = [sample for batch in batches for sample in batch]
        groups = by_token_budget([sample.tokens * self._copies for sample in samples], self.budget)
        # Without a need to divide them, samples keep their order.
        return [[samples[position] for position in sorted(group)] for group in groups]

    def _record_plan(self) -> None:
        self._record({"micro_batch_tokens": self.budget, "gradient_checkpointing": self._checkpointing})

    def compute(self, update: Update, step: Callable[[Batch], Tensor], clear: Callable[[], None]) -> None:
        """Run the passes of an update and keep their losses. If memory runs out, once per run, halve the budget.

        Args:
            update: its passes change with the budget.
            step: runs one pass forwards and backwards, and returns its loss.
            clear: discards the gradients.

        Raises:
            Exception: memory ran out again, or one sample is too large; or any other error of `step`.
        """
        random_state = _random_state(self._device) if self._can_halve else None
        error = _attempt(update, step)
        failed = [text for text in processes.gather_objects(error and str(error)) if text is not None]
        if not failed:
            return
        largest = max(processes.gather_objects(self._copies * max(map(_tokens, update.passes))))
        is_single = max(processes.gather_objects(max(len(batch["numbers"]) for batch in update.passes))) == 1
        if random_state is None or not self._can_halve or is_single:
            raise error or MemoryError(f"out of memory in another process: {failed[0]}")
        del error  # it holds on to the activations
        self._can_halve = False
        self.budget = max(1, largest // 2)
        self._record_plan()
        self._note(
            f"out of memory with {largest} subwords in one forward pass: from now on at most {self.budget}"
        )
        clear()
        _free(self._device)
        _restore(random_state, self._device)
        update.passes = self.update(update.batches).passes
        self.compute(update, step, clear)


def _attempt(update: Update, step: Callable[[Batch], Tensor]) -> Exception | None:
    """Run all passes. Returns the error if memory ran out."""
    update.losses = []
    try:
        for batch in update.passes:
            update.losses.append(step(batch))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return error.with_traceback(None)
    return None


def _tokens(batch: Batch) -> int:
    return len(batch["ids_T"])


def _random_state(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _restore(states: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type in ("cuda", "mps"):
        torch.get_device_module(device).empty_cache()
