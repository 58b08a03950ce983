"""The keys of a pretrain spec: type, default and description of each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..components.backbones.pretrained import PretrainedBackbone
from ..components.registry import RefusedError
from ..components.slots import Backbone, Reader
from ..masks import is_causal
from ..spec import sharding_rules
from ..spec.experiment import RunSpec, check_average, check_layer_decay, check_saved_modules
from ..spec.trainer_settings import TrainerSpec

Objective = Literal["clm", "mlm", "mntp"]

MASKED_FRACTION: dict[Objective, float] = {"mlm": 0.15, "mntp": 0.2}
"""Share of the tokens that are predicted, by default: as in BERT and LLM2Vec."""


class PretrainSpec(RunSpec):
    """One pre-training run: text, model, objective. `extends: other.yaml` starts from another spec."""

    objective: Objective = Field(
        description="`clm`: predict the next token; `mlm`: predict 15 % of the tokens, masked 80/10/10; "
        "`mntp`: predict 20 % of the tokens, all masked, each from the vector before it"
    )
    mask_token: str | None = Field(
        default=None,
        min_length=1,
        description="with `mlm` and `mntp`: the token that replaces masked tokens, any one token of the tokenizer; "
        "unset: its mask token, or with `mntp` `_` if it has none",
    )
    mask_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="with `mlm` and `mntp`: share of the tokens that are predicted; unset: 0.15 and 0.2",
    )
    corpus: Reader = Field(
        description="the text: plain text, or the words of annotated data, whose tags are ignored"
    )
    validation: Reader | None = Field(
        default=None,
        description="text whose loss and perplexity are measured after each epoch; "
        "`{type: holdout}` takes it from the corpus",
    )
    spacing: Literal["auto", "single", "source"] = Field(
        default="auto",
        description="what is between words: a `single` space, or those of the `source` text; "
        "`auto`: those of the source text if it is known",
    )
    boundaries: Literal["tokenizer", "both", "none"] = Field(
        default="tokenizer",
        description="special tokens around each sentence: those that the tokenizer adds to a text, "
        "one at the beginning and one at the end (`both`), or `none`",
    )
    block_size: int = Field(
        default=128,
        ge=2,
        description="tokens per block, which the model reads at once; tokens left over are dropped",
    )
    allow_leak: bool = Field(
        default=False,
        description="allow `clm` with unmasked blocks, which see the token they predict",
    )
    snapshots: int | None = Field(
        default=None,
        ge=1,
        description="snapshots per epoch, in steps/0001 and so on; steps/0000 is the untrained model",
    )
    merge: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="saved weights are base + merge * (trained - base), where the base is the model before training; "
        "unset: those of training",
    )
    backbone: Backbone = Field(description="the language model, its mask, LoRA, quantization")
    trainer: TrainerSpec = Field(
        default_factory=TrainerSpec, description="how the model is trained; `batch_size` counts blocks"
    )

    @model_validator(mode="after")
    def _backbone_is_a_language_model(self) -> PretrainSpec:
        backbone = self.backbone
        if not isinstance(backbone, PretrainedBackbone):
            about = f"a backbone of type `{backbone.type_name}` has no output layer to predict tokens with"
            raise RefusedError(about, "backbone.type")
        if backbone.freeze:
            raise RefusedError("`freeze: true` leaves nothing to train", "backbone.freeze")
        if backbone.repeat:
            about = "`repeat` is for taggers: a language model predicts tokens that it has not read before"
            raise RefusedError(about, "backbone.repeat")
        if backbone.attend_to_padding:
            raise RefusedError("`attend_to_padding` is for taggers", "backbone.attend_to_padding")
        if backbone.init == "random" and backbone.lora is not None:
            about = "fresh weights are trained whole: with adapters, the random weights would stay frozen"
            raise RefusedError(about, "backbone.lora")
        if backbone.init == "random" and self.merge is not None:
            about = (
                "`merge` needs a pretrained model: with `init: random`, the weights before training are noise"
            )
            raise RefusedError(about, "merge")
        check_saved_modules(backbone)
        if self.merge not in (None, 1) and backbone.lora is not None and backbone.lora.dora:
            about = "`merge` scales the change that an adapter makes, and that of `dora` has no single scale"
            raise RefusedError(about, "merge")
        if backbone.adapter is not None and self.merge is not None:
            about = "`merge` scales an adapter that starts at zero: leave it out, or start without `backbone.adapter`"
            raise RefusedError(about, "merge")
        return self

    @model_validator(mode="after")
    def _text_has_no_annotation(self) -> PretrainSpec:
        for key in ("corpus", "validation"):
            if getattr(getattr(self, key), "sources", None):
                about = "pre-training reads text without annotation: give `readers` instead of `sources`"
                raise RefusedError(about, f"{key}.sources")
        return self

    @model_validator(mode="after")
    def _masking_has_an_objective(self) -> PretrainSpec:
        if self.objective == "clm":
            for key in ("mask_token", "mask_fraction"):
                if getattr(self, key) is not None:
                    about = f"`{key}` is for `objective: mntp` and `objective: mlm`; `clm` masks no tokens"
                    raise RefusedError(about, key)
        return self

    @model_validator(mode="after")
    def _mask_does_not_leak(self) -> PretrainSpec:
        """`clm` needs causal blocks: an unmasked block sees the token to predict (paper §8)."""
        backbone = self.backbone
        if self.objective != "clm" or self.allow_leak or not isinstance(backbone, PretrainedBackbone):
            return self
        if "unmask" not in backbone.model_fields_set:
            # Set directly, since the model is frozen.
            self.__dict__["backbone"] = backbone.model_copy(update={"unmask": "none"})
        elif not is_causal(backbone.unmask):
            raise RefusedError(
                f"`unmask: {backbone.unmask}` leaks the tokens that `objective: clm` predicts: "
                "an unmasked block sees the next token",
                "backbone.unmask",
                notes=(
                    "pre-train with `unmask: none`, and unmask in the labelling run that starts from it",
                    "`objective: mntp` and `mlm` hide the tokens that they predict, so they work with any mask",
                    "`allow_leak: true` trains with the leak",
                ),
            )
        return self

    @model_validator(mode="after")
    def _last_update_counts(self) -> PretrainSpec:
        if self.trainer.select == "best":
            raise RefusedError("pre-training keeps the last model: `select: last`", "trainer.select")
        if self.trainer.early_stopping is not None:
            raise RefusedError("pre-training does not stop early", "trainer.early_stopping")
        if self.trainer.head_learning_rate is not None:
            about = "`head_learning_rate` is for labelling runs: a language model has no new head"
            raise RefusedError(about, "trainer.head_learning_rate")
        check_layer_decay(self)
        check_average(self)
        if self.trainer.ema is not None and self.snapshots is not None:
            about = (
                "`snapshots` have the weights of training, not their average: leave out `ema`, or `snapshots`"
            )
            raise RefusedError(about, "trainer.ema")
        if self.trainer.sharding != "none":
            sharding_rules.check_model("pre-training", self.backbone)
        if self.snapshots is not None and self.trainer.max_steps is not None:
            raise RefusedError(
                "`snapshots` are counted per epoch: leave out `max_steps`", "trainer.max_steps"
            )
        return self

    @property
    def fraction(self) -> float:
        """The share of the tokens that a masked objective predicts."""
        return MASKED_FRACTION[self.objective] if self.mask_fraction is None else self.mask_fraction

    @property
    def language_model(self) -> PretrainedBackbone:
        """The backbone, which validation has checked to be a language model."""
        assert isinstance(self.backbone, PretrainedBackbone)
        return self.backbone
