"""Masked-language-model encoders: the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...masks import Mask
from ..registry import register
from .pretrained import PretrainedBackbone

if TYPE_CHECKING:
    from ...nn.backbone import BuildContext, PackedBackbone


@register.backbone("encoder")
class Encoder(PretrainedBackbone):
    """An encoder such as RoBERTa; `unmask: none` makes its blocks causal."""

    unmask: Mask = Field(default="all", description="the blocks that see both sides")

    def build(self, context: BuildContext) -> PackedBackbone:
        """Load or make the model, put mask, quantization and LoRA on it, and prove the mask."""
        from .building import build_backbone

        return build_backbone(self, context)
