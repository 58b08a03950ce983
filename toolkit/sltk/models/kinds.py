"""The types of model: `type:` in a spec or in `sltk.json` selects one. Each type is a module, imported on first use.

tagger      tagging.py: word vectors and a head, one tag per word
instruct    instruct/model.py: a language model that writes the spans of a sentence
onnx        onnx_tagger.py: a tagger that `sltk export --format onnx` wrote; it only labels, and needs no torch
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args

from ..components.slots import Splitter
from ..data.datasets import Dataset
from ..decoding import Decisions
from ..decoding.decisions import check_name
from ..runtime.progress import Progress, reporting_to
from ..schemes.labels import LabelSet
from ..spec.experiment import Experiment
from ..types import PrecisionSetting, Prediction, Sentence
from . import memory_advice
from .description import read_description
from .integrity import verify

if TYPE_CHECKING:
    from .instruct.responses import Score

Apply = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to all batches, in order: `map`, or `processes.divide`, of which each process computes a share."""

_MODULES = {"tagger": "tagging", "instruct": "instruct.model", "onnx": "onnx_tagger"}


class LabellingModel(Protocol):
    """What models of all types have."""

    @property
    def type_name(self) -> str:
        """The name of its type."""

    @property
    def labels(self) -> LabelSet:
        """Its tags."""

    @property
    def splitter(self) -> Splitter:
        """Splits texts into the words that it labels."""

    @property
    def decisions(self) -> Decisions:
        """How its scores become predictions, unless something else is asked for."""


class LabellingType(Protocol):
    """The functions of a model type that label with it. `model` is the result of `build` or `load`."""

    HAS_EXTRA_SCORES: bool
    """Whether `extra_scores` adds some, for which it needs all predictions at once."""

    def predict(
        self,
        model: Any,
        sentences: Iterable[Sentence],
        batch_tokens: int,
        window: int,
        progress: Progress,
        decisions: Decisions | None = None,
        apply: Apply = map,
    ) -> Iterator[Prediction]:
        """Label sentences in order, with at most `window` of them in memory."""

    def check_decisions(self, model: Any, decisions: Decisions) -> None:
        """Check that the model can decide like this.

        Raises:
            UsageError: it cannot.
        """

    def extra_scores(self, model: Any, predictions: Sequence[Prediction], score: Score) -> dict[str, Any]:
        """Scores of a split in addition to those of the metrics."""

    def load(self, folder: Path, *, merge: bool = True, precision: PrecisionSetting | None = None) -> Any:
        """Load a model for prediction; with `merge`, adapters are merged into float32 weights."""


class ModelType(LabellingType, Protocol):
    """The functions of a model type that a run calls."""

    def build(self, experiment: Experiment, training: Dataset) -> Any:
        """Build the untrained model that the spec describes."""

    def encode(self, dataset: Dataset, model: Any, progress: Progress) -> list[Any]:
        """Encode the training samples; the list is empty if the model has no trainable weights."""

    def collate(self, samples: Sequence[Any]) -> Mapping[str, Any]:
        """Pack samples into one batch."""

    def without_loss(self, sample: Any) -> Any:
        """Return the same sample without a loss."""

    def check(self, dataset: Dataset, model: Any) -> None:
        """Raise an error now for sentences that could not be scored after training."""

    def save(self, model: Any, folder: Path, imports: Path, about: Mapping[str, Any] | None = None) -> None:
        """Write the model to a folder, which appears completely or not at all; its manifest contains `about`."""


def of_spec(experiment: Experiment) -> ModelType:
    """The type of model that a spec trains."""
    return cast(ModelType, _module(experiment.type))


def type_of(model: LabellingModel) -> LabellingType:
    """The type of a model."""
    return _module(model.type_name)


def _module(name: str) -> LabellingType:
    return cast(LabellingType, import_module(f".{_MODULES[name]}", __package__))


def load(
    folder: Path,
    *,
    merge: bool = True,
    progress: Progress | None = None,
    precision: PrecisionSetting | None = None,
) -> Any:
    """Verify and load a saved model of any type for prediction; with `merge`, adapters become part of float32 weights.

    Without a `precision`, it computes as in training, if it was trained on such a device.

    Raises:
        UsageError: `folder` has no model, or one that another version of sltk wrote; or files are missing or damaged.
        ModelError: its base model is not available, or differs from the one it was trained on; or the device, or an
            ONNX export, cannot compute in the `precision`.
    """
    if precision is not None:
        check_name("precision", precision, get_args(PrecisionSetting))
    progress = progress or Progress()
    verify(folder, progress)
    with memory_advice.loading_model(), reporting_to(progress):
        return _module(read_description(folder).get("type", "tagger")).load(
            folder, merge=merge, precision=precision
        )
