"""What a spec holds: every key of the YAML file, its type, its default and what it means.

The defaults of training are the constants of Dukić & Šnajder (2024), §3, where the paper fixes them.
Components (`{type: …}`) bring their own keys: `sltk show SLOT NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ..components.registry import RefusedError, registry
from ..components.slots import Aligner, Backbone, Head, Metric, Reader, Splitter
from ..masks import is_causal
from ..schemes.names import SchemeName
from ..yamltree.scalars import resolve_import
from .instruct_settings import InstructSpec
from .recipes import RecipeName

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "sgd"]
Schedule = Literal["cosine", "linear", "constant"]
Tracker = Literal["tensorboard", "wandb"]
ImportPath = Annotated[Path, BeforeValidator(resolve_import)]


class SpecModel(BaseModel):
    """Base of the parts of a spec: immutable, without room for keys that mean nothing."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )


class DataSpec(SpecModel):
    """What is trained on, what is chosen by, and what is scored in the end."""

    train: Reader = Field(description="sentences to train on")
    validation: Reader | None = Field(
        default=None,
        description="sentences to score while training; `{type: holdout}` takes a part of train",
    )
    test: Reader | None = Field(default=None, description="sentences to score after training")


class TrainerSpec(SpecModel):
    """How the model is trained."""

    epochs: float = Field(default=5, gt=0, description="passes over the training data; a fraction is allowed")
    max_steps: int | None = Field(
        default=None, ge=1, description="stop after this many updates instead of `epochs`"
    )
    batch_size: int = Field(default=16, ge=1, description="sentences in one forward pass on one device")
    gradient_accumulation: int = Field(
        default=1, ge=1, description="forward passes whose gradients make one update; the paper used 4"
    )
    learning_rate: float = Field(default=2e-4, gt=0, description="peak learning rate")
    optimizer: Optimizer = Field(default="adamw", description="the 8-bit ones need a GPU; without one: adamw")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.95), description="decay of Adam's running averages of the gradient and of its square"
    )
    eps: float = Field(default=1e-5, gt=0, description="Adam's epsilon")
    weight_decay: float = Field(default=0.1, ge=0, description="decay of weights; biases and norms have none")
    schedule: Schedule = Field(default="cosine", description="course of the learning rate after warm-up")
    warmup: int | float = Field(
        default=0,
        ge=0,
        description="updates of linear warm-up; below 1: their share of all updates",
    )
    clip: float | None = Field(
        default=1.0, gt=0, description="largest norm of the gradient; null: no clipping"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="compute activations again in the backward pass: less memory, more time"
    )
    select: Literal["last", "best"] = Field(
        default="last", description="keep the model of the last epoch, or that with the best validation F1"
    )
    early_stopping: int | None = Field(
        default=None, ge=1, description="stop after this many epochs without a better validation F1"
    )
    recipe: RecipeName = Field(
        default="corrected",
        description="how accumulation and schedule count updates: as the paper's released code did, "
        "with true accumulation, or with both corrected",
    )
    save_every: int | None = Field(
        default=None, ge=1, description="updates between checkpoints; null for one after each epoch"
    )
    log_to: list[Tracker] = Field(default=[], description="where else to log, beside log.jsonl")
    eval_batch_tokens: int = Field(default=4096, ge=1, description="subwords in a forward pass of evaluation")
    data_seed: int | None = Field(
        default=None, ge=0, description="seed of the order of sentences; null: `seed`"
    )

    @model_validator(mode="after")
    def _warmup_is_share_or_steps(self) -> TrainerSpec:
        if isinstance(self.warmup, float) and self.warmup >= 1:
            about = f"expected a share below 1 or a whole number of updates, found `{self.warmup}`"
            raise RefusedError(about, "warmup")
        return self


def component(slot: str, name: str, **options: Any) -> Callable[[], Any]:
    """A default component, looked up when it is needed: importing this module registers nothing."""
    return lambda: registry.find(slot, name)(**options)


def _takes_sentences(reader: Reader | None) -> bool:
    """Whether it is a `holdout` of single sentences."""
    return reader is not None and reader.type_name == "holdout" and getattr(reader, "by", None) == "sentence"


def default_metrics(scheme: str | None) -> list[Any]:
    """Spans are scored where the scheme marks them, words where tags are plain."""
    return [registry.find("metric", "accuracy" if scheme == "plain" else "seqeval")()]


def folder_name(name: str) -> str:
    """The name of a run, which names its directory."""
    if name in (".", "..") or set(name) & set("/\\\0"):
        raise RefusedError(f"`{name}` cannot name a run directory: leave out slashes")
    return name


_OF_TAGGERS = {"aligner", "document_context", "head", "on_overflow"}
"""Keys of a spec that only a tagger has a use for."""


class RunSpec(SpecModel):
    """The keys that a run of any kind has."""

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
    """One run: data, model, training. `extends: other.yaml` starts from another spec."""

    type: Literal["tagger", "instruct"] = Field(
        default="tagger",
        description="what kind of model is trained: one that tags words, or one that writes spans (`instruct:`)",
    )
    data: DataSpec = Field(description="sentences for training, validation and test")
    splitter: Splitter = Field(
        default_factory=component("splitter", "regex"),
        description="cuts text into words",
    )
    scheme: SchemeName = Field(
        default="IOB2", description="tag scheme the model is trained in; data in other schemes is converted"
    )
    max_length: int | None = Field(
        default=None,
        ge=1,
        description="most subwords the model sees at once; null: what the model can take",
    )
    on_overflow: Literal["window", "error"] = Field(
        default="window", description="a longer sentence is read in overlapping windows, or is an error"
    )
    document_context: int = Field(
        default=0,
        ge=0,
        description="subwords of the same document read on each side of a sentence, and not labelled; 0: none",
    )
    aligner: Aligner = Field(
        default_factory=component("aligner", "first_subword"),
        description="makes word vectors of subword vectors",
    )
    backbone: Backbone = Field(description="the language model, its mask, LoRA, quantization")
    head: Head = Field(
        default_factory=component("head", "linear", dropout=0.1), description="turns word vectors into tags"
    )
    metrics: list[Metric] = Field(
        default_factory=lambda before: default_metrics(before.get("scheme")),
        min_length=1,
        description="scores; the first one's F1 selects the best model",
    )
    trainer: TrainerSpec = Field(default_factory=TrainerSpec, description="how the model is trained")
    instruct: InstructSpec | None = Field(
        default=None, description="with `type: instruct`: prompt, options, decoding"
    )

    @model_validator(mode="after")
    def _metrics_have_something_to_count(self) -> Experiment:
        """Found out before training, not after it."""
        for number, metric in enumerate(self.metrics):
            if self.scheme == "plain" and metric.needs_spans:
                about = f"metric `{metric.type_name}` counts spans, and plain tags mark none: use `accuracy`"
                raise RefusedError(about, f"metrics.{number}")
            if self.type == "instruct" and metric.needs_probabilities:
                about = f"metric `{metric.type_name}` asks for probabilities, and a model that writes spans has none"
                raise RefusedError(
                    f"{about}: leave out `thresholds` and `calibration_bins`", f"metrics.{number}"
                )
        return self

    @model_validator(mode="after")
    def _one_splitter(self) -> Experiment:
        """Readers that cut text into words, and say no other way, cut it as prediction will."""
        readers = {name: getattr(self.data, name) for name in DataSpec.model_fields}
        cutting = {
            name: reader.model_copy(update={"splitter": self.splitter})
            for name, reader in readers.items()
            if reader is not None
            and "splitter" in type(reader).model_fields
            and "splitter" not in reader.model_fields_set
        }
        # The model is frozen for its users; a validator may still settle a value.
        self.__dict__["data"] = self.data.model_copy(update=cutting)
        return self

    @model_validator(mode="after")
    def _context_is_there(self) -> Experiment:
        """`holdout` takes single sentences out of their documents, unless it is told to take whole ones."""
        apart = [name for name in DataSpec.model_fields if _takes_sentences(getattr(self.data, name))]
        if self.document_context and apart:
            about = "`holdout` takes sentences away from their neighbours, which `document_context` is about"
            advice = f"say `by: document` in {apart[0]}, or give it a file of its own"
            raise RefusedError(f"{about}: {advice}", "document_context")
        return self

    @model_validator(mode="after")
    def _type_has_its_keys(self) -> Experiment:
        """Each type of model has keys of its own; what would be without effect is refused."""
        if self.type == "tagger":
            if self.instruct is not None:
                raise RefusedError("`instruct` is for `type: instruct`", "instruct")
            return self
        if self.instruct is None:
            raise RefusedError("`type: instruct` needs `instruct`: an instruction, and options", "type")
        for key in _OF_TAGGERS & self.model_fields_set:
            raise RefusedError(f"`{key}` is for `type: tagger`: a model that writes spans has none", key)
        if self.scheme == "plain":
            raise RefusedError("a model that writes spans needs a scheme of spans", "scheme")
        if self.backbone.type_name != "decoder":
            raise RefusedError("only a decoder writes", "backbone.type")
        if not is_causal(getattr(self.backbone, "unmask", "none")):
            about = "a model that writes must not see what is still to be written: its blocks are causal"
            raise RefusedError(about, "backbone.unmask", notes=["`unmask: none`, or leave it out"])
        return self

    @model_serializer(mode="wrap")
    def _own_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the keys that are for the other type of model."""
        values: dict[str, Any] = handler(self)
        foreign = {"instruct"} if self.type == "tagger" else _OF_TAGGERS
        return {key: value for key, value in values.items() if key not in foreign}

    @model_validator(mode="after")
    def _selection_needs_validation(self) -> Experiment:
        if self.data.validation is not None:
            return self
        if self.trainer.select == "best":
            raise RefusedError("`select: best` needs `data.validation` to choose by", "trainer.select")
        if self.trainer.early_stopping is not None:
            raise RefusedError("`early_stopping` needs `data.validation` to watch", "trainer.early_stopping")
        return self
