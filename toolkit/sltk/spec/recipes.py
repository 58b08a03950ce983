"""Training recipes: which gradients make an update, and what the learning rate's schedule counts.

The loop that Dukić & Šnajder (2024) released clears the gradients at every micro-batch, and counts its schedule's
horizon in micro-batches while the schedule steps once an update (paper §3). Both change every published number, so
both can be had:

    recipe              gradients of an update           the schedule ends after
    as_released         the last micro-batch's, over k   k times as many updates as there are
    true_accumulation   of all k micro-batches           k times as many updates as there are
    corrected           of all k micro-batches           the last update
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["as_released", "true_accumulation", "corrected"]


@dataclass(frozen=True)
class Recipe:
    """How `gradient_accumulation` and `schedule` are meant."""

    accumulates: bool
    """False: an update's gradient is that of its last micro-batch, divided by `gradient_accumulation`."""
    horizon_is_in_updates: bool
    """False: the schedule takes the number of micro-batches for its number of steps."""

    def horizon(self, updates: int, batches_per_epoch: int, accumulation: int) -> int:
        """Steps after which the schedule ends; it steps once an update whatever they are.

        Micro-batches of a run of `updates`: an epoch of `batches_per_epoch` micro-batches has
        `ceil(batches_per_epoch / accumulation)` updates, the last of which may have fewer micro-batches.
        """
        if self.horizon_is_in_updates:
            return updates
        epochs, rest = divmod(updates, -(-batches_per_epoch // accumulation))
        return epochs * batches_per_epoch + min(rest * accumulation, batches_per_epoch)


RECIPES: dict[RecipeName, Recipe] = {
    "as_released": Recipe(accumulates=False, horizon_is_in_updates=False),
    "true_accumulation": Recipe(accumulates=True, horizon_is_in_updates=False),
    "corrected": Recipe(accumulates=True, horizon_is_in_updates=True),
}
