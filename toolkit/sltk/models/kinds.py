"""The types of model there are, each as the steps that a run takes with one: `type:` of a spec chooses.

tagger      word vectors and a head: a tag a word
instruct    a language model that writes the spans of a sentence
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from ..components.slots import Backbone, Splitter
from ..data import datasets
from ..data.datasets import Dataset
from ..nn import batching
from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..spec.experiment import Experiment
from ..types import Prediction, Sentence
from . import saving, tagging
from .instruct import encoding as prompts
from .instruct import model as instruct
from .instruct.prompt_batches import pack_prompts
from .predictor import Predictor

Score = Callable[[Iterable[Prediction]], dict[str, Any]]


class Model(Protocol):
    """What models of all types have."""

    labels: LabelSet
    splitter: Splitter
    backbone: Backbone
    device: torch.device

    @property
    def network(self) -> Any:
        """What is trained: a `TrainableModule` with its `backbone`."""


class ModelType(Protocol):
    """The steps of a run."""

    def build(self, experiment: Experiment, training: Dataset) -> Any:
        """The untrained model that the spec describes."""

    def encode(self, dataset: Dataset, model: Any, progress: Progress) -> list[Any]:
        """What is trained on; nothing where nothing is to be trained."""

    def collate(self, samples: Sequence[Any]) -> Mapping[str, Any]:
        """A batch of these samples."""

    def without_loss(self, sample: Any) -> Any:
        """The same sample with no loss."""

    def check(self, dataset: Dataset, model: Any) -> None:
        """Raise now what could not be scored after training."""

    def predict(
        self, model: Any, sentences: Iterable[Sentence], batch_tokens: int, window: int, progress: Progress
    ) -> Iterator[Prediction]:
        """Label sentences, in order, looking at `window` of them at a time."""

    def account(self, model: Any, predictions: Sequence[Prediction], score: Score) -> dict[str, Any]:
        """What the scores of a split hold beside those of the metrics."""

    def save(self, model: Any, folder: Path, imports: Path) -> None:
        """Write the model to a folder, which appears whole or not at all."""

    def load(self, folder: Path) -> Any:
        """Load a model for prediction."""


class _Tagger:
    """`type: tagger`."""

    encode = staticmethod(tagging.encode_all)
    collate = staticmethod(batching.pack)
    without_loss = staticmethod(batching.without_loss)
    check = staticmethod(tagging.check_lengths)

    def build(self, experiment: Experiment, training: Dataset) -> saving.Model:
        return tagging.build(experiment, datasets.label_set(training), training)

    def predict(
        self,
        model: saving.Model,
        sentences: Iterable[Sentence],
        batch_tokens: int,
        window: int,
        progress: Progress,
    ) -> Iterator[Prediction]:
        predictor = Predictor(model.tagger, model.encoder, model.labels, model.device, batch_tokens, progress)
        return predictor.predict(sentences, window)

    def account(self, model: saving.Model, predictions: Sequence[Prediction], score: Score) -> dict[str, Any]:
        return {}

    def save(self, model: saving.Model, folder: Path, imports: Path) -> None:
        saving.save(model, folder, imports)

    def load(self, folder: Path) -> saving.Model:
        return saving.load(folder)


class _Instruct:
    """`type: instruct`."""

    build = staticmethod(instruct.build)
    encode = staticmethod(instruct.encode)
    collate = staticmethod(pack_prompts)
    without_loss = staticmethod(prompts.without_loss)
    check = staticmethod(instruct.check)
    predict = staticmethod(instruct.predict)
    account = staticmethod(instruct.account)
    save = staticmethod(instruct.save)

    def load(self, folder: Path) -> instruct.InstructModel:
        return instruct.load(folder)


TYPES: dict[str, ModelType] = {"tagger": _Tagger(), "instruct": _Instruct()}  # type: ignore[dict-item]


def type_of(model: Model) -> ModelType:
    """The type of a model."""
    return TYPES["instruct" if isinstance(model, instruct.InstructModel) else "tagger"]


def load(folder: Path) -> Any:
    """Load a saved model of any type for prediction.

    Raises:
        UsageError: no model there, or one of another version.
        ModelError: its base model cannot be had, or is another than it was trained on.
    """
    return TYPES[saving.describe(folder).get("type", "tagger")].load(folder)
