"""The keys of `trainer` in a run's spec.

The defaults are those of Dukić & Šnajder (2024), section 3, where the paper gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..components.registry import RefusedError
from ..components.strict import StrictModel
from ..runtime.launch_settings import SpecSettings
from ..runtime.optional_imports import install_extra, is_installed
from ..types import PrecisionSetting
from . import sharding_rules
from .recipes import RECIPES, RecipeName

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "sgd"]
Schedule = Literal["cosine", "linear", "constant"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]


class TrainerSpec(StrictModel):
    """Training settings."""

    required_by: ClassVar[str] = "log_to"
    earlier_defaults: ClassVar[Mapping[str, Any]] = {"gradient_checkpointing": False}
    """Defaults of earlier versions whose effect on a run is that of today's default."""
    unwritten_defaults: ClassVar[Mapping[str, Any]] = {
        "head_learning_rate": None,
        "layer_decay": 1.0,
        "ema": None,
    }

    epochs: float = Field(default=5, gt=0, description="passes over the training data; a fraction is allowed")
    max_steps: int | None = Field(default=None, ge=1, description="number of updates, instead of `epochs`")
    batch_size: int = Field(default=16, ge=1, description="sentences per forward pass on each device")
    gradient_accumulation: int = Field(
        default=1, ge=1, description="forward passes per update; the paper uses 4"
    )
    micro_batch_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="subwords per forward pass, into which the sentences of an update are packed anew; `auto` for as "
        "many as fit on a GPU, and for the batches as they are on a CPU; not with `recipe: as_released`",
    )
    learning_rate: float = Field(default=2e-4, gt=0, description="peak learning rate")
    head_learning_rate: float | None = Field(
        default=None, gt=0, description="peak learning rate of head and aligner; null for `learning_rate`"
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="factor of the learning rate from each block to the one below it; embeddings are below the first "
        "block, and the last block has `learning_rate`",
    )
    optimizer: Optimizer = Field(
        default="adamw", description="the 8-bit optimizers need a GPU; without one, `adamw` is used"
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.95),
        description="decay rates of Adam's running averages of the gradient and its square",
    )
    eps: float = Field(default=1e-5, gt=0, description="Adam's epsilon")
    weight_decay: float = Field(
        default=0.1, ge=0, description="weight decay; biases and norms are not decayed"
    )
    schedule: Schedule = Field(default="cosine", description="schedule of the learning rate after warm-up")
    warmup: int | float = Field(
        default=0,
        ge=0,
        description="updates of linear warm-up; a value below 1 is a share of all updates",
    )
    clip: float | None = Field(
        default=1.0, gt=0, description="maximum norm of the gradient; null for no clipping"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of a moving average of the trained weights, such as 0.999, which is evaluated and saved in "
        "their place; null for none",
    )
    gradient_checkpointing: Literal["auto"] | bool = Field(
        default="auto",
        description="recompute activations in the backward pass: less memory, more time; `auto` does so on a GPU if "
        "the estimate says that a forward pass does not fit otherwise",
    )
    precision: PrecisionSetting = Field(
        default="auto",
        description="number format of matrix products: `auto` is bf16 on GPUs that have it, fp32 elsewhere; trained "
        "weights, the head and the loss are float32 in each",
    )
    sharding: Literal["none", "full"] = Field(
        default="none",
        description="with several processes: `full` keeps only a part of the weights, gradients and optimizer state "
        "on each GPU, for models that do not fit one",
    )
    reuse_frozen: bool = Field(
        default=True,
        description="with `backbone.freeze: true`, compute the vectors of the backbone once and reuse them in every "
        "epoch",
    )
    select: Literal["last", "best"] = Field(
        default="last", description="keep the model of the last epoch, or the one with the best validation F1"
    )
    early_stopping: int | None = Field(
        default=None, ge=1, description="stop after this many epochs without a better validation F1"
    )
    recipe: RecipeName = Field(
        default="corrected",
        description="how updates accumulate gradients and the schedule counts them: as in the paper's released code "
        "(`as_released`), with accumulation corrected (`true_accumulation`), or with accumulation and schedule "
        "corrected (`corrected`)",
    )
    save_every: int | None = Field(
        default=None, ge=1, description="updates between checkpoints; null for one checkpoint per epoch"
    )
    log_to: list[Tracker] = Field(default=[], description="where to log in addition to log.jsonl")
    eval_batch_tokens: int = Field(default=4096, ge=1, description="subwords per forward pass in evaluation")
    data_seed: int | None = Field(
        default=None, ge=0, description="seed of the order of sentences; null for `seed`"
    )

    def required_packages(self) -> Mapping[str, str]:
        """The packages to log with; `tensorboardX` also writes for TensorBoard."""
        has_tensorboard = is_installed("tensorboardX")
        return {
            name: install_extra(name)
            for name in self.log_to
            if not (name == "tensorboard" and has_tensorboard)
        }

    def launch_settings(self) -> SpecSettings:
        """The settings that a launcher may contradict."""
        return SpecSettings(self.precision, self.gradient_accumulation, self.clip)

    @model_validator(mode="after")
    def _check_sharding(self) -> TrainerSpec:
        if self.sharding != "none":
            sharding_rules.check_training(self.optimizer, self.precision, self.micro_batch_tokens, self.ema)
        return self

    @model_validator(mode="after")
    def _check_passes(self) -> TrainerSpec:
        if self.micro_batch_tokens != "auto" and not RECIPES[self.recipe].accumulates:
            about = f"`recipe: {self.recipe}` keeps its batches: leave out `micro_batch_tokens`"
            raise RefusedError(about, "micro_batch_tokens")
        return self

    @model_validator(mode="after")
    def _check_warmup(self) -> TrainerSpec:
        if isinstance(self.warmup, float) and self.warmup >= 1:
            about = f"expected a share below 1 or a whole number of updates, found `{self.warmup}`"
            raise RefusedError(about, "warmup")
        return self
