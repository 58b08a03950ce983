"""Proof at load time that words of a mask with a window see exactly the subwords within it, block by block.

The sentences of `mask_proof` are shorter than most windows, so here one is read that is longer than the window, or
longer than `_WIDEST` if the window is wider. As there, reachability is read from the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from . import probe_sentences
from .backbone import PackedBackbone
from .mask_proof import sources, tracked_embedding, violation
from .packing import Packing

_NEXT = 3
"""Tokens of the sentence after it, which no word may reach."""
_WIDEST = 126
"""Wider windows are proven at this width: the whole graph is in memory, so a sentence of thousands costs gigabytes."""


@torch.enable_grad()
def prove(backbone: PackedBackbone, modules: Sequence[nn.Module]) -> None:
    """Check the first and the last token of a sentence in which each of them is too far away from the other.

    If the model has too few positions for such a sentence, it never reads one: then the longest possible one is read.

    Raises:
        ModelError: in some blocks, a token sees others than those within the window.
    """
    assert backbone.window is not None
    model, was_training = backbone.model, backbone.training
    width = min(backbone.window, _WIDEST)
    length = min(width + 2, backbone.positions or width + 2)
    backbone.eval()
    with (
        _narrowed(modules, backbone.window, width),
        probe_sentences.recorded_calls() as calls,
        tracked_embedding(model),
    ):
        ids_T = probe_sentences.token_ids(model, length + _NEXT)
        states = backbone.states(ids_T, Packing.of_lengths((length, _NEXT)), all_states=True)
    wrong = []
    for block, (module, sliding) in enumerate(calls):
        reach = min(width, _own_reach(module, sliding, length))
        for token in (0, length - 1):
            expected = set(range(max(0, token - reach), min(length, token + reach + 1)))
            reached = sources(states[block + 1][0, token : token + 1], states[block])
            ends = {min(expected), max(expected)} if _is_exact(backbone) else {token}
            if not ends <= reached <= expected:
                wrong.append(block)
                break
    backbone.train(was_training)
    backbone.kernels.clear()
    if wrong:
        numbers = ", ".join(map(str, wrong))
        raise violation(
            f"in these blocks a word does not see {backbone.window} subwords to each side: {numbers}"
        )


@contextmanager
def _narrowed(modules: Sequence[nn.Module], window: int, width: int) -> Iterator[None]:
    """Give all blocks a window of `width` inside the context, if theirs is the wider `window`.

    A block with another window keeps it, and fails the proof.
    """
    wide: list[Any] = [module for module in modules if width < window == module.sltk_window]
    for module in wide:
        module.sltk_window = width
    try:
        yield
    finally:
        for module in wide:
            module.sltk_window = window


def _own_reach(module: Any, sliding: int | None, length: int) -> int:
    """How far the sliding window of the family reaches in an unmasked block."""
    if sliding is None or module.sltk_drop_window:
        return length
    return sliding if module.sltk_inclusive else sliding - 1


def _is_exact(backbone: PackedBackbone) -> bool:
    """Whether small gradients stay above zero: float16 has no numbers below 6e-8, and a far word may have less."""
    dtypes = {parameter.dtype for parameter in backbone.model.parameters()}
    return backbone.precision != "fp16" and torch.float16 not in dtypes
