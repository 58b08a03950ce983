"""Run one model with several masks over one text, without recomputing blocks whose input and mask are the same.

The input of a block depends only on the masks of the blocks below it. If the masks are sorted by their flags, 0000,
0001, 0010, …, each shares its first blocks with the mask before. So all 16 masks of four groups of blocks cost
(2 + 4 + 8 + 16) / 4 = 7.5 forward passes instead of 16, and all 64 masks of six groups cost 21.

States are cached for one text at a time, and only where the next mask starts: at most one state per group of blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from . import probe_sentences
from .backbone import PackedBackbone


class PrefixCache:
    """Caches the output of some blocks, so that later passes over the same text can start from there.

    Args:
        blocks: the blocks of the model, in order.
        starts: how many leading blocks a later pass may skip; the output of the last skipped block is cached.
    """

    def __init__(self, blocks: Sequence[nn.Module], starts: Collection[int]) -> None:
        self._blocks, self._starts = blocks, frozenset(starts) - {0}
        self._outputs: list[dict[int, Any]] = []
        self._shapes: list[torch.Size] = []
        self.new_text()

    def new_text(self) -> None:
        """Clear the cache, because the next pass is over another text."""
        self._outputs.clear()
        self._shapes.clear()
        self.new_pass(0)

    def new_pass(self, skip: int) -> None:
        """Start again at the beginning of the text, in the same batches, and skip the first `skip` blocks."""
        self._skip, self._batch = skip, -1

    @contextmanager
    def installed(self) -> Iterator[PrefixCache]:
        """Let the blocks use the cache until the end of the `with` block."""
        originals = [vars(block).get("forward") for block in self._blocks]
        for number, block in enumerate(self._blocks):
            block.forward = MethodType(self._cached_forward(number, block.forward), block)
        try:
            yield self
        finally:
            for block, forward in zip(self._blocks, originals, strict=True):
                del block.forward  # restores the method of the class
                if forward is not None:
                    block.forward = forward
            self.new_text()

    def _cached_forward(self, number: int, original: Any) -> Any:
        def forward(_: nn.Module, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            if number == 0:
                self._next_batch(hidden)
            outputs = self._outputs[self._batch]
            if number + 1 < self._skip:
                return _like(outputs[self._skip], hidden)
            if number < self._skip:
                return outputs[self._skip]
            out = original(hidden, *args, **kwargs)
            if number + 1 in self._starts:
                outputs[number + 1] = out
            return out

        return forward

    def _next_batch(self, hidden: Tensor) -> None:
        self._batch += 1
        if self._batch == len(self._outputs):
            self._outputs.append({})
            self._shapes.append(hidden.shape)
        if self._shapes[self._batch] != hidden.shape:
            raise RuntimeError("passes over one text must have the same batches")


def _like(out: Any, hidden: Tensor) -> Any:
    """The output of a skipped block; the blocks of some families return tuples."""
    return (hidden, *out[1:]) if isinstance(out, tuple) else hidden


def blocks_of(backbone: PackedBackbone) -> list[nn.Module] | None:
    """The blocks of a model; None if they cannot be found or if skipping some changes the output.

    The masks must already be set.
    """
    modules = [m for m in backbone.model.modules() if hasattr(m, "sltk_unmasked")]
    for stack in backbone.model.modules():
        if isinstance(stack, nn.ModuleList) and len(stack) == len(modules):
            blocks = list(stack)
            pairs = zip(blocks, modules, strict=True)
            if all(any(part is m for part in block.modules()) for block, m in pairs):
                return blocks if _gives_same_states(backbone, blocks) else None
    return None


def _gives_same_states(backbone: PackedBackbone, blocks: Sequence[nn.Module]) -> bool:
    ids_T = probe_sentences.token_ids(backbone.model)
    half = (len(blocks) + 1) // 2
    was_training = backbone.training
    try:
        with torch.inference_mode(), PrefixCache(blocks, [half]).installed() as cache:
            plain = backbone.eval()(ids_T, probe_sentences.PACKING)
            cache.new_pass(half)
            return torch.equal(backbone(ids_T, probe_sentences.PACKING), plain)
    except (KeyError, TypeError, RuntimeError):
        return False
    finally:
        backbone.train(was_training)
