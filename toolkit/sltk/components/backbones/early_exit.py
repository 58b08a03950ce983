"""Early exit: only the first blocks of a model, then its final norm.

The config is shortened before any weights are loaded, so a dropped block costs no time and no memory. What remains must
be the same as in the whole model. A family whose first blocks depend on the number of blocks is refused: in some, the
last block is special. The models of both configs are compared without memory for weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...errors import ModelError, Problem
from ...families.model_shape import first_blocks
from .fetching import from_config_values

PATH = "backbone.blocks"
_KEPT = ("_commit_hash", "_name_or_path")
"""Attributes of a config that are in none of its values."""


@dataclass(frozen=True)
class EarlyExit:
    """The first blocks of a model."""

    config: Any
    """The config of the shortened model."""
    dropped: frozenset[str]
    """Names of the tensors of the other blocks, as in the whole base model."""


def exit_early(config: Any, blocks: int, total: int, skeleton: Callable[[Any], nn.Module]) -> EarlyExit:
    """Shorten a model to its first blocks.

    Args:
        config: the config of the whole model.
        blocks: how many blocks to keep.
        total: how many the model has.
        skeleton: makes the model of a config, without memory for its weights.

    Raises:
        ModelError: the model has fewer blocks, or its first blocks depend on the number of blocks.
    """
    if blocks > total:
        raise ModelError(Problem(too_many(blocks, total), path=PATH))
    if getattr(config, "num_hidden_groups", 1) > 1:
        raise _refused(config, "which blocks share their weights depends on the number of blocks")
    try:
        shortened = from_config_values(config.model_type, lambda: shorten(config, blocks, total))
        whole, part = skeleton(config), skeleton(shortened)
    except ModelError as error:
        raise _refused(config, error.problems[0].message) from error
    return EarlyExit(shortened, frozenset(_dropped(config, whole, part, blocks)))


def too_many(blocks: int, total: int) -> str:
    """The message that a model has fewer blocks than asked for."""
    return f"`blocks: {blocks}` asks for {blocks} blocks; the model has {total}"


def shorten(config: Any, blocks: int, total: int) -> Any:
    """A config with the first blocks only, as it will be read again from a saved model."""
    text = config.get_text_config()
    values = first_blocks(config.to_dict(), blocks, total, _count_key(config))
    for name in config.sub_configs:
        if getattr(config, name, None) is text:
            values[name] = first_blocks(values[name], blocks, total, _count_key(text))
    shortened = type(config).from_dict(values)
    for name in _KEPT:
        if hasattr(config, name):
            setattr(shortened, name, getattr(config, name))
    return shortened


def _count_key(config: Any) -> str:
    """The key of the number of blocks in the values of a config."""
    key: str = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    return key


def _dropped(config: Any, whole: nn.Module, part: nn.Module, blocks: int) -> set[str]:
    """The tensors of the dropped blocks, after a check that everything else is the same in both models.

    Raises:
        ModelError: something else differs.
    """
    modules = dict(whole.named_modules())
    for name, module in part.named_modules():
        twin = modules.get(name)
        if block_of(name) is not None and (twin is None or _values(module) != _values(twin)):
            raise _refused(config, f"`{name}` is different in the shortened model")
    before, after = _tensors(whole), _tensors(part)
    for name, shape in after.items():
        if before.get(name) != shape:
            raise _refused(config, f"`{name}` is different in the shortened model")
    dropped = before.keys() - after.keys()
    for name in sorted(dropped):
        number = block_of(name)
        if number is None or number < blocks:
            raise _refused(config, f"`{name}` is missing in the shortened model")
    return dropped


def block_of(name: str) -> int | None:
    """The first number in the name of a module or tensor: that of its block."""
    return next((int(each) for each in name.split(".") if each.isdecimal()), None)


def _values(module: nn.Module) -> tuple[Any, ...]:
    """The class of a module, and its plain settings: how it computes, apart from its weights."""
    plain = {key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str)}
    return type(module), plain


def _tensors(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _refused(config: Any, reason: str) -> ModelError:
    about = f"a {config.model_type} model cannot be shortened to its first blocks: {reason}"
    return ModelError(Problem(about, path=PATH, notes=("leave out `blocks`, or choose another number",)))


def check_unused(unused: Iterable[str], early_exit: EarlyExit, name: str) -> None:
    """Check that the tensors of a model's files that are not used are exactly those of the dropped blocks.

    Tensors outside of blocks, such as an output layer, may be unused too. Names in files can begin with the name of the
    base model, and parts of a block may be stored under other names (experts), so blocks are compared by number.

    Raises:
        ModelError: a dropped block is not in the files, or a tensor of a block in use is not used.
    """
    found = {number for each in unused if (number := block_of(each)) is not None}
    expected = {number for each in early_exit.dropped if (number := block_of(each)) is not None}
    for number in sorted(found ^ expected):
        if number in expected:
            about = f"the weights in `{name}` are incomplete: those of block {number} are missing"
        else:
            about = f"`{name}` has weights of block {number} that are not used"
        raise ModelError(Problem(about, path="backbone.name"))
