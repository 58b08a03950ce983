"""The types of model: `type:` in a spec selects one. Each type is a module with the functions of `ModelType`.

tagger      tagging.py: word vectors and a head, one tag per word
instruct    instruct/model.py: a language model that writes the spans of a sentence
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..data.datasets import Dataset
from ..runtime.progress import Progress
from ..spec.experiment import Experiment
from ..types import Prediction, Sentence
from . import memory_advice, saving, tagging
from .description import read_description
from .instruct import model as instruct
from .instruct.responses import Score
from .saving import Model


class ModelType(Protocol):
    """The functions of a model type that a run calls. `model` is the result of `build` or `load`."""

    HAS_EXTRA_SCORES: bool
    """Whether `extra_scores` adds some, for which it needs all predictions at once."""

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

    def predict(
        self, model: Any, sentences: Iterable[Sentence], batch_tokens: int, window: int, progress: Progress
    ) -> Iterator[Prediction]:
        """Label sentences in order, with at most `window` of them in memory."""

    def extra_scores(self, model: Any, predictions: Sequence[Prediction], score: Score) -> dict[str, Any]:
        """Scores of a split in addition to those of the metrics."""

    def save(self, model: Any, folder: Path, imports: Path, about: Mapping[str, Any] | None = None) -> None:
        """Write the model to a folder, which appears completely or not at all; its manifest contains `about`."""

    def load(self, folder: Path, *, merge: bool = True) -> Any:
        """Load a model for prediction; with `merge`, adapters are merged into float32 weights."""


TYPES: dict[str, ModelType] = {"tagger": tagging, "instruct": instruct}


def type_of(model: Model) -> ModelType:
    """The type of a model."""
    return TYPES[model.type_name]


def load(folder: Path, *, merge: bool = True, progress: Progress | None = None) -> Any:
    """Verify and load a saved model of any type for prediction; with `merge`, adapters become part of float32 weights.

    Raises:
        UsageError: `folder` has no model, or one that another version of sltk wrote; or files are missing or damaged.
        ModelError: its base model is not available, or differs from the one it was trained on.
    """
    saving.verify(folder, progress or Progress())
    with memory_advice.loading_model():
        return TYPES[read_description(folder).get("type", "tagger")].load(folder, merge=merge)
