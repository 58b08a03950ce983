"""Groups of weights with a learning rate of their own, in the optimizer that transformers' Trainer has made."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..components.backbones.early_exit import block_of
from ..errors import ModelError, Problem
from ..nn.backbone import PackedBackbone
from ..nn.trainable import TrainableModule
from ..spec.learning_rates import LearningRates, Part

_BEFORE = ("embed", "wte", "wpe", "project_in")
"""In the names of weights that compute the input of the first block, besides embeddings themselves."""
_MODEL = "backbone.model."


def check(backbone: PackedBackbone, rates: LearningRates) -> None:
    """Check that each block has weights of its own, if they are to be trained at different rates.

    Raises:
        ModelError: blocks share their weights, or cannot be told from the names of weights.
    """
    if rates.trainer.layer_decay == 1:
        return
    found = {
        number for name, _ in backbone.model.named_parameters() if (number := block_of(name)) is not None
    }
    if found != set(range(rates.blocks)):
        kind = getattr(getattr(backbone.model, "config", None), "model_type", "this model")
        about = f"`layer_decay` needs blocks with weights of their own, and those of {kind} share theirs"
        raise ModelError(Problem(about, path="trainer.layer_decay"))


def separate(optimizer: Any, network: TrainableModule, rates: LearningRates) -> None:
    """Divide the groups of a new optimizer by learning rate; weight decay stays that of each weight.

    The group of the rate that the log shows, `learning_rate`, comes first.
    """
    if rates.are_equal:
        return
    parts = _parts(network)
    groups: dict[tuple[int, float], dict[str, Any]] = {}
    for number, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            rate = rates.of(parts[id(parameter)])
            own = groups.setdefault((number, rate), {**group, "params": [], "lr": rate})
            own["params"].append(parameter)
    base = rates.of("output")
    optimizer.param_groups[:] = sorted(groups.values(), key=lambda group: group["lr"] != base)


def _parts(network: TrainableModule) -> dict[int, Part]:
    """The part of each weight, by its id."""
    embeddings = {
        id(p) for module in network.modules() if isinstance(module, nn.Embedding) for p in module.parameters()
    }
    return {
        id(parameter): "input"
        if id(parameter) in embeddings and name.startswith("backbone.")
        else _part(name)
        for name, parameter in network.named_parameters()
    }


def _part(name: str) -> Part:
    if not name.startswith("backbone."):
        return "head"
    number = block_of(name) if name.startswith(_MODEL) else None
    if number is not None:
        return number
    return "input" if any(part in name for part in _BEFORE) else "output"
