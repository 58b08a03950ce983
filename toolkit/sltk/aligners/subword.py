"""The built-in aligners; the arithmetic is in `sltk.nn.pooling`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import register
from ..slots import Aligner

if TYPE_CHECKING:
    from torch import nn


@register.aligner("first_subword")
class FirstSubword(Aligner):
    """A word is its first subword, as in the paper (section 3)."""

    def build(self) -> nn.Module:
        """The pooling module."""
        from ..nn.pooling import First

        return First()


@register.aligner("last_subword")
class LastSubword(Aligner):
    """A word is its last subword: the first that has read the whole word where blocks are causal."""

    def build(self) -> nn.Module:
        """The pooling module."""
        from ..nn.pooling import Last

        return Last()


@register.aligner("mean")
class Mean(Aligner):
    """A word is the mean of its subwords."""

    def build(self) -> nn.Module:
        """The pooling module."""
        from ..nn.pooling import Mean

        return Mean()


@register.aligner("first_last")
class FirstLast(Aligner):
    """A word is the mean of its first and its last subword."""

    def build(self) -> nn.Module:
        """The pooling module."""
        from ..nn.pooling import FirstLast

        return FirstLast()


@register.aligner("max")
class Max(Aligner):
    """A word is the element-wise maximum of its subwords."""

    def build(self) -> nn.Module:
        """The pooling module."""
        from ..nn.pooling import Max

        return Max()
