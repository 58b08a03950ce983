"""Training recipes: which gradients an update uses, and what the learning rate schedule counts.

The loop released by Dukić & Šnajder (2024) clears the gradients at every micro-batch. It also sets the length of the
schedule in micro-batches, while the schedule steps once per update (section 3). Both change every published number,
so both are available:

    recipe              gradients of an update              the schedule ends after
    as_released         of the last micro-batch, over k     k times the number of updates
    true_accumulation   of all k micro-batches              k times the number of updates
    corrected           of all k micro-batches              the last update
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["as_released", "true_accumulation", "corrected"]


@dataclass(frozen=True)
class Recipe:
    """An interpretation of `gradient_accumulation` and `schedule`."""

    accumulates: bool
    """If false, the gradient of an update is that of its last micro-batch, divided by `gradient_accumulation`."""
    horizon_is_in_updates: bool
    """If false, the schedule takes the number of micro-batches as its number of steps."""

    def horizon(self, updates: int, batches_per_epoch: int, accumulation: int) -> int:
        """The number of steps after which the schedule ends; it always steps once per update.

        An epoch of `batches_per_epoch` micro-batches has `ceil(batches_per_epoch / accumulation)` updates, the last
        of which may have fewer micro-batches.
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
