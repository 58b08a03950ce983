"""The built-in aligners; the arithmetic is in `sltk.nn.pooling`, in classes of the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import register
from ..slots import Aligner

if TYPE_CHECKING:
    from torch import nn


class SubwordAligner(Aligner):
    """An aligner whose module is the class of its own name in `sltk.nn.pooling`."""

    def build(self) -> nn.Module:
        """The pooling module."""
        from ...nn import pooling

        module: nn.Module = getattr(pooling, type(self).__name__)()
        return module


@register.aligner("first_subword")
class FirstSubword(SubwordAligner):
    """A word is its first subword, as in the paper (section 3)."""


@register.aligner("last_subword")
class LastSubword(SubwordAligner):
    """A word is its last subword: the first that has read the whole word where blocks are causal."""


@register.aligner("mean")
class Mean(SubwordAligner):
    """A word is the mean of its subwords."""


@register.aligner("first_last")
class FirstLast(SubwordAligner):
    """A word is the mean of its first and its last subword."""


@register.aligner("max")
class Max(SubwordAligner):
    """A word is the element-wise maximum of its subwords."""
