"""The keys of a run's spec: types, defaults and descriptions.

Training defaults are those of Dukić & Šnajder (2024), section 3, where the paper gives them.
Components (`{type: …}`) have their own keys: `sltk show SLOT NAME`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ..components.backbones.pretrained import PretrainedBackbone
from ..components.metrics.seqeval import cannot_flatten
from ..components.readers.concat import ConcatReader
from ..components.readers.dividing import DividingReader
from ..components.readers.folds import FoldReader
from ..components.registry import RefusedError, registry
from ..components.slots import Aligner, Backbone, Head, Metric, Reader, Splitter
from ..components.strict import StrictModel
from ..decoding.decisions import NO_CONSTRAINT
from ..files.safety import printable
from ..masks import is_causal
from ..runtime.launch_settings import SpecSettings
from ..runtime.optional_imports import install_extra, is_installed
from ..schemes.names import SchemeName
from ..types import PrecisionSetting
from ..yamltree.scalars import resolve_import
from . import sharding_rules
from .fold_settings import FoldSpec
from .instruct_settings import InstructSpec
from .recipes import RECIPES, RecipeName

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "sgd"]
Schedule = Literal["cosine", "linear", "constant"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]
ImportPath = Annotated[Path, BeforeValidator(resolve_import)]


class DataSpec(StrictModel):
    """The data for training, validation and test."""

    train: Reader = Field(description="sentences to train on")
    validation: Reader | None = Field(
        default=None,
        description="sentences to score during training; `{type: holdout}` takes a part of `train`",
    )
    test: Reader | None = Field(default=None, description="sentences to score after training")
    folds: FoldSpec | None = Field(
        default=None,
        exclude_if=lambda value: value is None,  # as in run directories of earlier versions
        description="cross-validation: test on a part of `train`, and train on the others",
    )

    @model_validator(mode="after")
    def _set_test_of_fold(self) -> DataSpec:
        if self.folds is None:
            return self
        if self.test is not None:
            raise RefusedError(
                "`folds` tests on parts of `train`: leave out `test`, or write `test: null`", "test"
            )
        # The model is frozen, so a validator cannot assign the attribute.
        self.__dict__["test"] = self.folds.reader(allow_empty=self.train.allow_empty)
        return self

    @model_serializer(mode="wrap")
    def _without_test_of_fold(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the test part of a fold, which `folds` gives."""
        values: dict[str, Any] = handler(self)
        return values if self.folds is None else {key: item for key, item in values.items() if key != "test"}

    def readers(self) -> dict[str, Reader]:
        """The reader of each split that the run has."""
        readers = {name: getattr(self, name) for name in ("train", "validation", "test")}
        return {name: reader for name, reader in readers.items() if reader is not None}


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


def component(slot: str, name: str, **options: Any) -> Callable[[], Any]:
    """The factory of a default component, which is looked up when it is needed: imports register nothing."""
    return lambda: registry.find(slot, name)(**options)


def _sampling_key(reader: Reader | None) -> str | None:
    """The key that says how often a corpus of `concat` is read, if there is one."""
    if not isinstance(reader, ConcatReader):
        return None
    if reader.temperature is not None:
        return "temperature"
    weighted = (n for n, source in enumerate(reader.sources) if source.weight is not None)
    return next((f"sources.{number}.weight" for number in weighted), None)


def default_metrics(scheme: str | None) -> list[Any]:
    """The default metrics: accuracy of words for plain tags, scores of spans for other schemes."""
    return [registry.find("metric", "accuracy" if scheme == "plain" else "seqeval")()]


def folder_name(name: str) -> str:
    """Check that the name of a run can name a directory."""
    if name in (".", "..") or set(name) & set("/\\") or printable(name) != name:
        raise RefusedError(f"`{name}` cannot name a run directory: leave out slashes and control characters")
    return name


def check_average(spec: RunSpec) -> None:
    """Check that the trained weights are precise enough for a moving average.

    Raises:
        RefusedError: they are not.
    """
    dtype = getattr(spec.backbone, "dtype", "auto")
    trains_all = getattr(spec.backbone, "trains_all_weights", False)
    if spec.trainer.ema is not None and trains_all and dtype in ("bfloat16", "float16"):
        about = f"a moving average of {dtype} weights would not follow them: leave out `backbone.dtype`"
        raise RefusedError(about, "trainer.ema")


def check_layer_decay(spec: RunSpec) -> None:
    """Check that there are blocks whose rates `layer_decay` can divide.

    Raises:
        RefusedError: there are none.
    """
    if spec.trainer.layer_decay == 1:
        return
    if not isinstance(spec.backbone, PretrainedBackbone):
        about = f"`layer_decay` is for transformers models, and `{spec.backbone.type_name}` is none"
        raise RefusedError(about, "trainer.layer_decay")
    if spec.backbone.freeze and spec.backbone.lora is None:
        raise RefusedError("`layer_decay` has no effect with `freeze: true`", "trainer.layer_decay")


def check_saved_modules(backbone: Backbone) -> None:
    """Check that no layer of a model with an output layer is trained in a copy.

    Raises:
        RefusedError: one is.
    """
    lora = getattr(backbone, "lora", None)
    if lora is not None and lora.modules_to_save is not None:
        about = "`modules_to_save` is for taggers: the output layer of a language model may share the weights"
        raise RefusedError(about, "backbone.lora.modules_to_save")


_TAGGER_KEYS = {"aligner", "document_context", "head", "on_overflow"}
"""Keys that only taggers have."""


class RunSpec(StrictModel):
    """The keys of every kind of run."""

    name: str = Field(min_length=1, description="names the run directory, runs/NAME")
    seed: int = Field(default=120, ge=0, lt=2**32, description="seed of all random numbers")
    imports: list[ImportPath] = Field(
        default=[], description="Python files (`my_readers.py`) or modules with custom components"
    )
    if TYPE_CHECKING:  # each kind declares them in its own place among its keys
        backbone: Backbone
        trainer: TrainerSpec

    _names_a_folder = field_validator("name")(folder_name)


class Experiment(RunSpec):
    """The spec of a run: data, model, training. `extends: other.yaml` starts from another spec."""

    type: Literal["tagger", "instruct"] = Field(
        default="tagger",
        description="kind of model: one that tags words, or one that generates spans as text (`instruct:`)",
    )
    data: DataSpec = Field(description="sentences for training, validation and test")
    splitter: Splitter = Field(
        default_factory=component("splitter", "regex"),
        description="splits text into words",
    )
    scheme: SchemeName = Field(
        default="IOB2",
        description="tag scheme for training; data in other schemes is converted. It is `layers` for heads whose spans "
        "may overlap",
    )
    max_length: int | None = Field(
        default=None,
        ge=1,
        description="maximum number of subwords per input; null for the maximum of the model",
    )
    on_overflow: Literal["window", "error"] = Field(
        default="window", description="split a longer sentence into overlapping windows, or report an error"
    )
    document_context: int = Field(
        default=0,
        ge=0,
        description="subwords of the same document to read on each side of a sentence, without labelling them",
    )
    aligner: Aligner = Field(
        default_factory=component("aligner", "first_subword"),
        description="computes word vectors from subword vectors",
    )
    backbone: Backbone = Field(description="the language model, its mask, LoRA and quantization")
    head: Head = Field(
        default_factory=component("head", "linear", dropout=0.1),
        description="predicts tags from word vectors",
    )
    metrics: list[Metric] = Field(
        default_factory=lambda before: default_metrics(before.get("scheme")),
        min_length=1,
        description="scores to compute; the F1 of the first one selects the best model",
    )
    trainer: TrainerSpec = Field(default_factory=TrainerSpec, description="training settings")
    instruct: InstructSpec | None = Field(
        default=None, description="prompt, options and decoding, with `type: instruct`"
    )

    @model_validator(mode="after")
    def _check_metrics(self) -> Experiment:
        for number, metric in enumerate(self.metrics):
            if self.scheme == "plain" and metric.needs_spans:
                about = f"metric `{metric.type_name}` counts spans, but plain tags mark none: use `accuracy`"
                raise RefusedError(about, f"metrics.{number}")
            own_scheme = getattr(metric, "scheme", None)
            if self.head.finds_overlaps and own_scheme not in (None, "layers"):
                raise RefusedError(cannot_flatten(own_scheme), f"metrics.{number}.scheme")
            if self.type == "instruct" and metric.needs_probabilities:
                about = f"metric `{metric.type_name}` needs probabilities, but a model that generates spans has none"
                raise RefusedError(
                    f"{about}: leave out `thresholds` and `calibration_bins`", f"metrics.{number}"
                )
        return self

    @model_validator(mode="after")
    def _check_scheme(self) -> Experiment:
        """Heads whose spans may overlap have the scheme `layers`, and no others have it."""
        if self.head.finds_overlaps and "scheme" not in self.model_fields_set:
            self.__dict__["scheme"] = "layers"  # the model is frozen, so a validator cannot assign it
        if self.head.finds_overlaps == (self.scheme == "layers"):
            return self
        if self.type == "instruct":
            about = "a model that generates spans finds none that overlap: `scheme: layers` is for taggers"
            raise RefusedError(about, "scheme")
        name = self.head.type_name
        if self.head.finds_overlaps:
            about = f"head `{name}` finds spans that overlap, which {self.scheme} cannot hold"
            raise RefusedError(f"{about}: leave out `scheme`, or set `scheme: layers`", "scheme")
        about = f"head `{name}` gives each word one tag, so its spans cannot overlap as those of `scheme: layers` do"
        raise RefusedError(
            about, "scheme", notes=["`head: {type: span}` and `{type: layered}` find such spans"]
        )

    @model_validator(mode="after")
    def _check_head(self) -> Experiment:
        if self.scheme == "plain" and self.head.decode == "constrained":
            raise RefusedError(NO_CONSTRAINT, "head.decode")
        return self

    @model_validator(mode="after")
    def _check_annotation(self) -> Experiment:
        """Readers of plain text have no tags to learn or to score."""
        for name, reader in self.data.readers().items():
            if not reader.has_annotation:
                about = f"reader `{reader.type_name}` reads text without annotation here"
                notes = [
                    "text is for `sltk pretrain` and `sltk predict`; `sltk list reader` shows all readers"
                ]
                raise RefusedError(f"{about}, and `{name}` needs tags or spans", f"data.{name}", notes=notes)
        return self

    @model_validator(mode="after")
    def _check_sampling(self) -> Experiment:
        """Only training reads some sentences more often than others."""
        for name in ("validation", "test"):
            if (key := _sampling_key(getattr(self.data, name))) is not None:
                about = f"`{key.rpartition('.')[2]}` says how often sentences are trained on: {name} reads each once"
                raise RefusedError(about, f"data.{name}.{key}")
        return self

    @model_validator(mode="after")
    def _set_splitter_of_readers(self) -> Experiment:
        """Readers without their own splitter split text like prediction does."""
        changes = {name: self._split_like_prediction(reader) for name, reader in self.data.readers().items()}
        # The model is frozen, so a validator cannot assign the attribute.
        self.__dict__["data"] = self.data.model_copy(update=changes)
        return self

    def _split_like_prediction(self, reader: Reader) -> Reader:
        if "splitter" in type(reader).model_fields and "splitter" not in reader.model_fields_set:
            return reader.model_copy(update={"splitter": self.splitter})
        return reader.with_inner(self._split_like_prediction)

    @model_validator(mode="after")
    def _check_document_context(self) -> Experiment:
        """A part of single sentences would be separated from its documents."""
        if not self.document_context:
            return self
        for name, reader in self.data.readers().items():
            if isinstance(reader, FoldReader) and reader.by == "sentence":
                what, advice = "folds", "set `by: document` in folds"
            elif isinstance(reader, DividingReader) and reader.by == "sentence":
                what, advice = reader.type_name, f"set `by: document` in {name}, or give it a separate file"
            elif reader.limit_seed is not None:
                what, advice = "limit_seed", f"leave it out in {name}"
            elif self.data.folds is not None and self.data.folds.train_limit is not None:
                what, advice = "train_limit", "leave it out in folds"
            else:
                continue
            about = f"`{what}` takes sentences away from their neighbours, which `document_context` needs"
            raise RefusedError(f"{about}: {advice}", "document_context")
        return self

    @model_validator(mode="after")
    def _check_keys_of_type(self) -> Experiment:
        """Refuse keys that have no effect for this type of model."""
        if self.type == "tagger":
            if self.instruct is not None:
                raise RefusedError("`instruct` is for `type: instruct`", "instruct")
            return self
        if self.instruct is None:
            raise RefusedError("`type: instruct` needs `instruct`: an instruction and options", "type")
        for key in sorted(_TAGGER_KEYS & self.model_fields_set):
            raise RefusedError(f"`{key}` is for `type: tagger`; a model that generates spans has none", key)
        if self.scheme == "plain":
            raise RefusedError("a model that generates spans needs a scheme of spans", "scheme")
        if self.backbone.type_name != "decoder":
            raise RefusedError("only a decoder generates text", "backbone.type")
        if not is_causal(getattr(self.backbone, "unmask", "none")):
            about = "a model that generates text must not see later tokens: its blocks must be causal"
            raise RefusedError(about, "backbone.unmask", notes=["set `unmask: none`, or leave it out"])
        for key in ("repeat", "attend_to_padding"):
            if getattr(self.backbone, key, False):
                about = f"`{key}` is for taggers: a model that generates text reads it once, without padding"
                raise RefusedError(about, f"backbone.{key}")
        check_saved_modules(self.backbone)
        return self

    @model_validator(mode="after")
    def _check_padding(self) -> Experiment:
        """Where padding is attended to, other batches give other scores."""
        if getattr(self.backbone, "attend_to_padding", False) and self.trainer.micro_batch_tokens != "auto":
            about = "`attend_to_padding` keeps the batches of `batch_size`: leave out `micro_batch_tokens`"
            raise RefusedError(about, "trainer.micro_batch_tokens")
        return self

    @model_validator(mode="after")
    def _check_sharding(self) -> Experiment:
        if self.trainer.sharding != "none":
            sharding_rules.check_model(
                "tagger" if self.type == "tagger" else "instruction tuning", self.backbone
            )
        return self

    @model_validator(mode="after")
    def _check_rates(self) -> Experiment:
        if self.type == "instruct" and self.trainer.head_learning_rate is not None:
            about = "`head_learning_rate` is for `type: tagger`; a model that generates spans has no new head"
            raise RefusedError(about, "trainer.head_learning_rate")
        check_layer_decay(self)
        check_average(self)
        return self

    @model_validator(mode="after")
    def _check_selection(self) -> Experiment:
        if self.data.validation is not None:
            return self
        if self.trainer.select == "best":
            raise RefusedError("`select: best` needs `data.validation`", "trainer.select")
        if self.trainer.early_stopping is not None:
            raise RefusedError("`early_stopping` needs `data.validation`", "trainer.early_stopping")
        return self

    @model_serializer(mode="wrap")
    def _without_foreign_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the keys of the other type of model."""
        values: dict[str, Any] = handler(self)
        foreign = {"instruct"} if self.type == "tagger" else _TAGGER_KEYS
        return {key: value for key, value in values.items() if key not in foreign}
