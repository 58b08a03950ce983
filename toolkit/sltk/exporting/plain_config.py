"""The config of a plain transformers model that attends as a model of sltk does.

A decoder is causal, or, with `is_causal: false`, unmasked in every block; transformers has no mask in between.
A sliding window of width w covers the tokens nearer than w in sltk and in a causal model of transformers, but those up
to w in an unmasked one: so w becomes w - 1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..nn.mask_flags import is_bidirectional


class NotPlainError(Exception):
    """transformers alone cannot do what the model does."""


def plain_config(
    config: Any, flags: Sequence[bool], *, is_encoder: bool, drop_window: bool, window: int | None = None
) -> Any:
    """A copy of `config` with which transformers gives each block the attention that its flag says.

    Args:
        config: the config of the model in sltk.
        flags: one per block, True where the causal mask is removed.
        is_encoder: whether the family is unmasked by design.
        drop_window: whether unmasked blocks have no sliding window.
        window: how many subwords a word of an unmasked block sees on each side; None for all.

    Raises:
        NotPlainError: transformers cannot attend in this way.
    """
    if window is not None:
        raise NotPlainError(
            f"plain transformers has no mask in which words see {window} subwords to each side"
        )
    if is_encoder:
        if not all(flags):
            raise NotPlainError("plain transformers cannot make an encoder's blocks causal")
        return copy.deepcopy(config)
    if any(flags) and not all(flags):
        raise NotPlainError("plain transformers cannot remove the causal mask in some blocks only")
    changed = copy.deepcopy(config)
    if is_bidirectional(config) or all(flags):
        changed.is_causal = not all(flags)
    sliding = getattr(config, "sliding_window", None)
    if sliding is not None:
        changed.sliding_window = _window(config, sliding, is_causal=not all(flags), drop_window=drop_window)
    return changed


def _window(config: Any, window: int, *, is_causal: bool, drop_window: bool) -> int:
    """The width in transformers of the window that a block of sltk has."""
    reach = window if is_bidirectional(config) else window - 1  # the distance of the farthest token
    if is_causal:
        return reach + 1
    if drop_window:  # as wide as the longest text: block types, and so positions, stay those of the family
        return max(reach, int(getattr(config, "max_position_embeddings", None) or 0), _WIDE)
    if reach == 0:
        raise NotPlainError(
            f"its sliding window of {window} token has no unmasked equivalent in transformers"
        )
    return reach


_WIDE = 1 << 20
"""Wider than any text."""
