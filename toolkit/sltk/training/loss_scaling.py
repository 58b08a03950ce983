"""Loss scaling for float16, whose smallest numbers are too large for many gradients.

The loss is multiplied by a large number, so that gradients do not become zero, and the gradients are divided by it
before they are used. If a gradient overflows, the update is skipped and the number halved; it is doubled after 2,000
updates without an overflow. So the first updates of a run, and single ones later, may be skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_SMALLEST = 1.0
"""A run ends below it: gradients overflow by themselves, and smaller numbers would make most of them zero."""
ADVICE = "use `precision: bf16` (where the GPU has it) or `precision: fp32`"


class LossScaler(torch.amp.GradScaler):
    """torch's scaler, which also counts and notes what it skips.

    Args:
        device_type: `cuda`; torch's scaler also runs on `cpu`.
        note: receives a line for each skipped update.
    """

    first_scale = 65536.0

    def __init__(self, device_type: str, note: Callable[[str], None]) -> None:
        super().__init__(device_type, init_scale=self.first_scale)
        self.skipped = 0
        """Number of skipped updates of the run."""
        self._note = note
        self._overflowed = False

    def overflows(self, optimizer: torch.optim.Optimizer, update: int) -> bool:
        """Whether the gradient of this update, which `unscale_` has divided, overflowed float16; then it is skipped."""
        found = self._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values()
        self._overflowed = any(bool(each) for each in found)
        if self._overflowed:
            self.skipped += 1
            scale = self.get_scale()
            self._note(
                f"update {update} skipped: the gradient overflowed float16; loss scale {scale:g} → {scale / 2:g} "
                f"({self.skipped} skipped so far)"
            )
        return self._overflowed

    @property
    def has_collapsed(self) -> bool:
        """Whether the gradient of the current update overflowed with the smallest scale."""
        return self._overflowed and self.get_scale() <= _SMALLEST

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        """Update the weights unless the gradient overflowed.

        The optimizer is not called then. torch's fused optimizers would be called, and skip the update themselves; the
        schedule of the learning rate would not know.
        """
        return None if self._overflowed else super().step(optimizer, *args, **kwargs)

    def update(self, new_scale: float | torch.Tensor | None = None) -> None:
        """Adapt the scale to whether the gradient overflowed."""
        super().update(new_scale)
        self._overflowed = False

    def state_dict(self) -> dict[str, Any]:
        """The state of torch's scaler, and the number of skipped updates."""
        return {**super().state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self.skipped = int(state_dict["skipped"])
