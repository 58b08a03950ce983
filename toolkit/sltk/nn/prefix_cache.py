"""Passes of one model with several masks over one text: blocks that see what they saw before are not run again.

The state that enters a block depends on the masks of the blocks below it alone. With the masks in order of their
flags, 0000, 0001, 0010, …, each shares its first blocks with the one before: all sixteen masks of four groups cost
(2 + 4 + 8 + 16) / 4 = 7.5 passes and not 16, all 64 of six groups 21.

States are kept for one text at a time, where the next mask will start from: at most one a group of blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from . import probe
from .backbone import PackedBackbone


class PrefixCache:
    """Keeps what leaves some blocks in a pass, for later passes over the same text to start from there.

    Args:
        blocks: the blocks of the model, in order.
        starts: how many blocks a later pass may leave out; their last one's state is kept.
    """

    def __init__(self, blocks: Sequence[nn.Module], starts: Collection[int]) -> None:
        self._blocks, self._starts = blocks, frozenset(starts) - {0}
        self._kept: list[dict[int, Any]] = []
        self._shape: list[torch.Size] = []
        self.new_text()

    def new_text(self) -> None:
        """Forget all states: what comes next is another text."""
        self._kept.clear()
        self._shape.clear()
        self.new_pass(0)

    def new_pass(self, leave_out: int) -> None:
        """The same text from its beginning, in the same batches, without so many blocks from the input on."""
        self._left_out, self._batch = leave_out, -1

    @contextmanager
    def installed(self) -> Iterator[PrefixCache]:
        """Have the blocks keep and take states, until the end of the `with`."""
        own = [vars(block).get("forward") for block in self._blocks]
        for number, block in enumerate(self._blocks):
            block.forward = MethodType(self._standing_in(number, block.forward), block)
        try:
            yield self
        finally:
            for block, forward in zip(self._blocks, own, strict=True):
                del block.forward  # the class's own again
                if forward is not None:
                    block.forward = forward
            self.new_text()

    def _standing_in(self, number: int, original: Any) -> Any:
        def forward(_: nn.Module, hidden: Tensor, *args: Any, **more: Any) -> Any:
            if number == 0:
                self._next_batch(hidden)
            kept = self._kept[self._batch]
            if number + 1 < self._left_out:
                return _in_the_form_of(kept[self._left_out], hidden)
            if number < self._left_out:
                return kept[self._left_out]
            out = original(hidden, *args, **more)
            if number + 1 in self._starts:
                kept[number + 1] = out
            return out

        return forward

    def _next_batch(self, hidden: Tensor) -> None:
        self._batch += 1
        if self._batch == len(self._kept):
            self._kept.append({})
            self._shape.append(hidden.shape)
        if self._shape[self._batch] != hidden.shape:
            raise RuntimeError("passes over one text must have the same batches")


def _in_the_form_of(out: Any, hidden: Tensor) -> Any:
    """What a block that is left out gives: some families' blocks give a tuple."""
    return (hidden, *out[1:]) if isinstance(out, tuple) else hidden


def blocks_of(backbone: PackedBackbone) -> list[nn.Module] | None:
    """The blocks, where they are found, and where leaving some out is seen to give the very same states."""
    modules = [m for m in backbone.model.modules() if hasattr(m, "sltk_unmasked")]
    for stack in backbone.model.modules():
        if isinstance(stack, nn.ModuleList) and len(stack) == len(modules):
            blocks = list(stack)
            holds = zip(blocks, modules, strict=True)
            if all(any(part is m for part in block.modules()) for block, m in holds):
                return blocks if _is_sound(backbone, blocks) else None
    return None


def _is_sound(backbone: PackedBackbone, blocks: Sequence[nn.Module]) -> bool:
    ids_T = probe.token_ids(backbone.model)
    half = (len(blocks) + 1) // 2
    was_training = backbone.training
    try:
        with torch.inference_mode(), PrefixCache(blocks, [half]).installed() as memory:
            plain = backbone.eval()(ids_T, probe.PACKING)
            memory.new_pass(half)
            return torch.equal(backbone(ids_T, probe.PACKING), plain)
    except (KeyError, TypeError, RuntimeError):
        return False
    finally:
        backbone.train(was_training)
