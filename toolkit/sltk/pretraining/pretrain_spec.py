"""What a pretrain spec holds: every key, its type, its default and what it means."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..components.backbones.pretrained import PretrainedBackbone
from ..components.registry import RefusedError
from ..components.slots import Backbone, Reader
from ..masks import is_causal
from ..spec.experiment import RunSpec, TrainerSpec

Objective = Literal["clm", "mlm"]


class PretrainSpec(RunSpec):
    """One pre-training run: text, model, objective. `extends: other.yaml` starts from another spec."""

    objective: Objective = Field(
        description="`clm`: predict the next token; `mlm`: predict 15 % of the tokens, masked 80/10/10"
    )
    corpus: Reader = Field(
        description="what is read: text, or the words of annotated data, whose tags are left alone"
    )
    validation: Reader | None = Field(
        default=None,
        description="text whose loss and perplexity are measured after each epoch; "
        "`{type: holdout}` takes a part of the corpus",
    )
    spacing: Literal["auto", "single", "source"] = Field(
        default="auto",
        description="what stands between words: a single space, or what the source text has; "
        "`auto`: the source text where there is one",
    )
    boundaries: Literal["tokenizer", "both", "none"] = Field(
        default="tokenizer",
        description="special tokens around a sentence: those that the tokenizer puts around any text, "
        "a beginning and an end (`both`), or none",
    )
    block_size: int = Field(
        default=128, ge=2, description="tokens that the model reads at once; what is left over is dropped"
    )
    allow_leak: bool = Field(
        default=False,
        description="let `clm` run with unmasked blocks, which see the token that they are to predict",
    )
    snapshots: int | None = Field(
        default=None,
        ge=1,
        description="models kept an epoch, in steps/0001 and so on, beside the untrained one in steps/0000",
    )
    backbone: Backbone = Field(description="the language model, its mask, LoRA, quantization")
    trainer: TrainerSpec = Field(
        default_factory=TrainerSpec, description="how it is trained; `batch_size` counts blocks"
    )

    @model_validator(mode="after")
    def _backbone_is_a_language_model(self) -> PretrainSpec:
        backbone = self.backbone
        if not isinstance(backbone, PretrainedBackbone):
            about = f"a backbone of type `{backbone.type_name}` has no output layer to predict tokens with"
            raise RefusedError(about, "backbone.type")
        if backbone.freeze:
            raise RefusedError("`freeze: true` leaves nothing to train", "backbone.freeze")
        if backbone.init == "random" and backbone.lora is not None:
            about = (
                "fresh weights are trained whole: adapters around them would leave them as they were drawn"
            )
            raise RefusedError(about, "backbone.lora")
        return self

    @model_validator(mode="after")
    def _mask_does_not_leak(self) -> PretrainSpec:
        """`clm` is causal: a block that is unmasked sees the token that is to be predicted (paper §8)."""
        backbone = self.backbone
        if self.objective != "clm" or self.allow_leak or not isinstance(backbone, PretrainedBackbone):
            return self
        if "unmask" not in backbone.model_fields_set:
            # The model is frozen for its users; a validator may still settle a value.
            self.__dict__["backbone"] = backbone.model_copy(update={"unmask": "none"})
        elif not is_causal(backbone.unmask):
            raise RefusedError(
                f"`unmask: {backbone.unmask}` leaks what `objective: clm` is to predict: "
                "an unmasked block sees the next token",
                "backbone.unmask",
                notes=(
                    "pre-train with `unmask: none`, and unmask in the labelling run that starts from it",
                    "`objective: mlm` hides what it asks for, whatever the mask",
                    "`allow_leak: true` trains it all the same",
                ),
            )
        return self

    @model_validator(mode="after")
    def _last_update_counts(self) -> PretrainSpec:
        if self.trainer.select == "best":
            raise RefusedError("pre-training keeps the last model: `select: last`", "trainer.select")
        if self.trainer.early_stopping is not None:
            raise RefusedError("pre-training runs to its end", "trainer.early_stopping")
        if self.snapshots is not None and self.trainer.max_steps is not None:
            raise RefusedError(
                "`snapshots` are counted by epochs: leave out `max_steps`", "trainer.max_steps"
            )
        return self

    @property
    def language_model(self) -> PretrainedBackbone:
        """The backbone, which is known to be one."""
        assert isinstance(self.backbone, PretrainedBackbone)
        return self.backbone
