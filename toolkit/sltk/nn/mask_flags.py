"""Set the mask of a model: find the attention module of each block, and assign each block its flag.

`mask_proof.py` checks that the model obeys the flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, Problem
from . import probe_sentences
from .backbone import PackedBackbone


class UnsuitableError(Exception):
    """The model cannot run on sltk's attention; the text gives the reason."""


def is_bidirectional(config: Any) -> bool:
    """Whether a decoder's config says `is_causal: false`, so that transformers runs it without a causal mask.

    Its sliding window then covers the tokens up to its width on both sides, one more than that of a causal model.
    """
    return not getattr(config, "is_causal", True)


def attention_modules(backbone: PackedBackbone) -> list[nn.Module]:
    """The modules that call sltk's attention function, one per block, in the order of their calls.

    A module that serves several blocks (ALBERT) appears several times.

    Raises:
        UnsuitableError: a block uses another attention function, or a rule that is not passed to ours.
    """
    model: Any = backbone.model
    for module in model.modules():
        module.sltk_unmasked, module.sltk_drop_window, module.sltk_inclusive = False, False, False
    try:
        with probe_sentences.recorded_calls() as calls, torch.inference_mode():
            backbone.states(probe_sentences.token_ids(model), probe_sentences.PACKING, all_states=False)
    finally:
        for module in model.modules():
            del module.sltk_unmasked, module.sltk_drop_window, module.sltk_inclusive
    _check_rules(model.config, [window for _, window in calls])
    modules = [module for module, _ in calls]
    for module in modules:
        module.sltk_inclusive = is_bidirectional(model.config)  # type: ignore[assignment]
        module.sltk_kernels = backbone.kernels  # type: ignore[assignment]
    assign_flags(modules, [False] * len(modules), drop_window=False)
    return modules


def _check_rules(config: Any, windows: Sequence[int | None]) -> None:
    """Check that every block calls sltk's attention function with a supported rule: full, or a window passed to it."""
    blocks = int(config.num_hidden_layers)
    if len(windows) > blocks:
        raise UnsuitableError(f"its {blocks} blocks compute attention {len(windows)} times")
    if len(windows) != blocks:
        raise UnsuitableError(
            f"{blocks - len(windows)} of its {blocks} blocks use another attention function"
        )
    rules = getattr(config, "layer_types", None) or ["full_attention"] * blocks
    for block, (rule, window) in enumerate(zip(rules, windows, strict=True)):
        if rule not in ("full_attention", "sliding_attention"):
            raise UnsuitableError(f"block {block} is of type {rule}")
        if rule == "sliding_attention" and window is None:
            raise UnsuitableError(f"block {block} applies its window in its own mask")


def assign_flags(
    modules: Sequence[nn.Module], flags: Sequence[bool], *, drop_window: bool, window: int | None = None
) -> None:
    """Set for each block's attention module whether its causal mask is removed.

    Args:
        modules: one per block, from `attention_modules`.
        flags: one per block, True where the causal mask is removed.
        drop_window: whether unmasked blocks ignore their sliding window too.
        window: how many subwords a word of an unmasked block sees on each side; None for all.

    Raises:
        UnsuitableError: different flags for blocks that share one module.
    """
    flag_of: dict[int, bool] = {}
    for module, flag in zip(modules, flags, strict=True):
        if flag_of.setdefault(id(module), flag) != flag:
            raise UnsuitableError("its blocks share one set of weights, and so one mask: use `all` or `none`")
        module.sltk_unmasked = flag  # type: ignore[assignment]
        module.sltk_drop_window = drop_window  # type: ignore[assignment]
        module.sltk_window = window  # type: ignore[assignment]


@contextmanager
def family_mask(modules: Sequence[nn.Module], *, unmasked: bool) -> Iterator[None]:
    """Give all blocks the model's own mask inside the context: causal, or `unmasked` in encoders."""
    before = [
        (module, module.sltk_unmasked, module.sltk_drop_window, module.sltk_window) for module in modules
    ]
    assign_flags(modules, [unmasked] * len(modules), drop_window=False)
    try:
        yield
    finally:
        for module, flag, drop_window, window in before:
            module.sltk_unmasked, module.sltk_drop_window, module.sltk_window = flag, drop_window, window


class MaskSwitch:
    """Changes the mask of a model that is already built; the result equals a model built with the new mask.

    Args:
        backbone: a model that runs on sltk's attention, with or without adapters.
        drop_window: whether unmasked blocks ignore their sliding window too.

    Raises:
        ModelError: the model runs on its own attention, or its attention cannot follow a mask.
    """

    def __init__(self, backbone: PackedBackbone, *, drop_window: bool = False) -> None:
        if not backbone.packs:
            raise ModelError(_cannot_switch("it runs unchanged, on its own attention"))
        self._backbone, self._drop_window = backbone, drop_window
        was_training = backbone.training
        devices = [p.device for p in backbone.parameters() if p.device.type == "cuda"][:1]
        try:
            with torch.random.fork_rng(devices):
                self._modules = attention_modules(backbone.eval())
        except UnsuitableError as error:
            raise ModelError(_cannot_switch(str(error))) from error
        finally:
            backbone.train(was_training)
        self.set(backbone.flags, backbone.window)

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The attention module of each block."""
        return self._modules

    @property
    def blocks(self) -> int:
        """The number of flags."""
        return len(self._modules)

    def set(self, flags: Sequence[bool], window: int | None = None) -> None:
        """Apply one flag per block from now on; in unmasked blocks, words see `window` subwords to each side.

        Raises:
            ModelError: different flags for blocks that share one module.
        """
        try:
            assign_flags(self._modules, flags, drop_window=self._drop_window, window=window)
        except UnsuitableError as error:
            raise ModelError(_cannot_switch(str(error))) from error
        self._backbone.flags, self._backbone.window = tuple(flags), window


def _cannot_switch(reason: str) -> Problem:
    return Problem(f"the mask of this model cannot be switched: {reason}", path="backbone.name")
