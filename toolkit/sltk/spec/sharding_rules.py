"""What `trainer.sharding` cannot be combined with: only what a test trains in two processes is allowed."""

from __future__ import annotations

from ..components.backbones.pretrained import PretrainedBackbone
from ..components.registry import RefusedError
from ..components.slots import Backbone

_ABOUT = "`sharding: full`"
_NOTE = "`sharding: full` is for taggers whose unquantized backbone is trained whole or with `lora`"


def check_model(kind: str, backbone: Backbone) -> None:
    """Check that a run of this kind can shard this backbone.

    Raises:
        RefusedError: it cannot; the message says why.
    """
    reason = None
    if kind != "tagger":
        reason = f"is not supported in {kind}"
    elif not isinstance(backbone, PretrainedBackbone):
        reason = f"is for transformers models, and a backbone of type `{backbone.type_name}` is none"
    elif backbone.quantization is not None:
        reason = "cannot shard quantized weights: leave out `quantization`, or `sharding`"
    elif backbone.freeze:
        reason = "is not supported with `freeze: true`"
    elif backbone.lora is not None and (backbone.lora.dora or backbone.lora.modules_to_save):
        reason = "is not supported with `dora` or `modules_to_save`"
    if reason is not None:
        raise RefusedError(f"{_ABOUT} {reason}", "trainer.sharding", notes=[_NOTE])


def check_training(
    optimizer: str, precision: str, micro_batch_tokens: object, ema: float | None = None
) -> None:
    """Check that training with these settings can be sharded.

    Raises:
        RefusedError: it cannot; the message says why.
    """
    reason = None
    if optimizer.endswith("_8bit"):
        reason = f"cannot shard the state of `{optimizer}`: use `adamw`"
    elif precision == "fp16":
        reason = "is not supported with `precision: fp16`: use `bf16` or `fp32`"
    elif micro_batch_tokens != "auto":
        reason = "needs as many forward passes in each process: leave out `micro_batch_tokens`"
    elif ema is not None:
        reason = "is not supported with `ema`"
    if reason is not None:
        raise RefusedError(f"{_ABOUT} {reason}", "sharding")
