"""The built-in aligners; their torch modules are in `sltk.nn.pooling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ..registry import register
from ..slots import Aligner

if TYPE_CHECKING:
    from torch import nn


class SubwordAligner(Aligner):
    """An aligner that builds a module of `sltk.nn.pooling`."""

    pooling: ClassVar[str]
    """Name of the module's class."""
    unwritten_defaults: ClassVar[Mapping[str, Any]] = {"shift": 0}

    shift: int = Field(
        default=0,
        ge=-1,
        le=0,
        description="`-1`: read each word one subword earlier, where a decoder predicts it; "
        "the first subword of the input, which has none before it, is read itself",
    )

    def build(self) -> nn.Module:
        """The pooling module."""
        from ...nn import pooling

        module: nn.Module = getattr(pooling, self.pooling)()
        return module


@register.aligner("first_subword")
class FirstSubword(SubwordAligner):
    """Represents a word by its first subword, as in the paper (section 3)."""

    pooling = "FirstSubwordPooling"


@register.aligner("last_subword")
class LastSubword(SubwordAligner):
    """Represents a word by its last subword, the only one that sees the whole word in causal blocks."""

    pooling = "LastSubwordPooling"


@register.aligner("mean")
class Mean(SubwordAligner):
    """Represents a word by the mean of its subwords."""

    pooling = "MeanPooling"


@register.aligner("first_last")
class FirstLast(SubwordAligner):
    """Represents a word by the mean of its first and last subword."""

    pooling = "FirstLastPooling"


@register.aligner("max")
class Max(SubwordAligner):
    """Represents a word by the element-wise maximum of its subwords."""

    pooling = "MaxPooling"


def shift_of(aligner: Aligner) -> int:
    """How many subwords later than its words an aligner reads: 0, or -1 for one earlier."""
    return aligner.shift if isinstance(aligner, SubwordAligner) else 0
