"""Masked-language-model encoders: the baselines."""

from __future__ import annotations

from pydantic import Field

from ..masking import Mask
from ..registry import register
from .pretrained import PretrainedBackbone


@register.backbone("encoder")
class Encoder(PretrainedBackbone):
    """An encoder such as RoBERTa; `unmask: none` makes its blocks causal."""

    unmask: Mask = Field(default="all", description="the blocks that see both sides")
