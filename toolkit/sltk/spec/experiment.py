"""The keys of a run's spec: types, defaults and descriptions.

Those of `data` and `trainer` are in modules of their own.
Components (`{type: …}`) have their own keys: `sltk show SLOT NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from ..components.readers.dividing import DividingReader
from ..components.readers.folds import FoldReader
from ..components.registry import RefusedError, registry
from ..components.slots import Aligner, Backbone, Head, Metric, Reader, Splitter
from ..components.strict import StrictModel
from ..decoding.decisions import NO_CONSTRAINT
from ..files.safety import printable
from ..masks import is_causal
from ..schemes.names import SchemeName
from ..yamltree.scalars import resolve_import
from . import sharding_rules
from .data_settings import DataSpec, sampling_key
from .instruct_settings import InstructSpec
from .trainer_settings import TrainerSpec

ImportPath = Annotated[Path, BeforeValidator(resolve_import)]


def component(slot: str, name: str, **options: Any) -> Callable[[], Any]:
    """The factory of a default component, which is looked up when it is needed: imports register nothing."""
    return lambda: registry.find(slot, name)(**options)


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
            if (key := sampling_key(getattr(self.data, name))) is not None:
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
