"""Frozen base weights that several runs of one process share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

import torch

from ...runtime import run_cache


def shared_model(key: Hashable, make: Callable[[], Any], device: torch.device) -> Any:
    """A model as `make` makes it, with parameters that it has in common with others of the same key.

    For weights that nothing trains or changes in place. Everything but the parameters is the model's own, so
    that masks, adapters and settings of one run are not there in the next. Where weights are missing in the
    files, transformers draws them by the seed: such a model is made anew each time.
    """
    if not run_cache.is_on():
        return make()
    before = _random_state(device)
    made: list[Any] = []

    def first() -> Any:
        made.append(make())
        return made[0]

    original = run_cache.cached("weights", key, first, most=1)
    if made and not all(torch.equal(*pair) for pair in zip(before, _random_state(device), strict=True)):
        run_cache.drop("weights", key)
        return original
    return copy.deepcopy(original, {id(parameter): parameter for parameter in original.parameters()})


def _random_state(device: torch.device) -> list[torch.Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
