"""Decoder-only language models, whose causal mask is a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import register
from .pretrained import PretrainedBackbone

if TYPE_CHECKING:
    from ...nn.backbone import BuildContext, PackedBackbone


@register.backbone("decoder")
class Decoder(PretrainedBackbone):
    """A decoder-only language model; `unmask` names the blocks that lose their causal mask (paper, section 3)."""

    def build(self, context: BuildContext) -> PackedBackbone:
        """Load or make the model, put mask, quantization and LoRA on it, and prove the mask."""
        from .building import build_backbone

        return build_backbone(self, context)
