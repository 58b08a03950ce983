"""The backbone types: decoder-only language models, and masked-language-model encoders as baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...masks import Mask
from ..registry import register
from .pretrained import PretrainedBackbone

if TYPE_CHECKING:
    from ...nn.backbone import BuildContext, PackedBackbone


class _TransformersBackbone(PretrainedBackbone):
    def build(self, context: BuildContext) -> PackedBackbone:
        """Load or create the model, apply mask, quantization and LoRA, and prove the mask."""
        from .building import build_backbone

        return build_backbone(self, context)


@register.backbone("decoder")
class Decoder(_TransformersBackbone):
    """A decoder-only language model; `unmask` selects the blocks without a causal mask (paper, section 3)."""


@register.backbone("encoder")
class Encoder(_TransformersBackbone):
    """An encoder such as RoBERTa; `unmask: none` makes its blocks causal."""

    unmask: Mask = Field(default="all", description="the blocks that attend to both sides")
