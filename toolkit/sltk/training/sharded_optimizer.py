"""Checkpoints of a sharded optimizer: one file with its whole state, like that of an optimizer that is not sharded.

All processes call these functions together. The main process holds the whole state in main memory while it writes; the
others map the file when they read it, and take their part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..nn import sharding
from ..runtime import processes
from .checkpoints import OPTIMIZER, SCHEDULER


def save(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Write the state of an optimizer and of a schedule to a checkpoint."""
    stored = _plain(optimizer).state_dict()
    state = {number: _whole(values) for number, values in stored["state"].items()}
    if processes.is_main_process():
        torch.save({**stored, "state": state}, folder / OPTIMIZER)
        torch.save(scheduler.state_dict(), folder / SCHEDULER)


def load(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Restore what `save` wrote."""
    plain = _plain(optimizer)
    stored = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True, mmap=True)
    parameters = [parameter for group in plain.param_groups for parameter in group["params"]]
    state = {number: _part(values, parameters[number]) for number, values in stored["state"].items()}
    plain.load_state_dict({**stored, "state": state})
    scheduler.load_state_dict(torch.load(folder / SCHEDULER, weights_only=True))


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    return inner


def _whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """The state of one weight in main memory; other processes than the main process drop it at once."""
    whole = {
        key: sharding.full(value) if isinstance(value, Tensor) else value for key, value in values.items()
    }
    return whole if processes.is_main_process() else {}


def _part(values: Mapping[str, Any], parameter: Tensor) -> dict[str, Any]:
    """The part of this process of the state of one weight; the number of its updates is not divided."""

    def fits(value: Any) -> bool:
        return isinstance(value, Tensor) and value.shape == parameter.shape

    return {
        key: sharding.part_of(value, parameter) if fits(value) else value for key, value in values.items()
    }
