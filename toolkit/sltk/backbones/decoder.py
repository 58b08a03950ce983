"""Decoder-only language models, whose causal mask is a setting."""

from __future__ import annotations

from ..registry import register
from .pretrained import PretrainedBackbone


@register.backbone("decoder")
class Decoder(PretrainedBackbone):
    """A decoder-only language model; `unmask` names the blocks that lose their causal mask (paper, section 3)."""
