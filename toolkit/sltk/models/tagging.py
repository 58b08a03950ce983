"""`type: tagger`: build a tagger from a spec, encode its training data, label with it, save and load it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from ..components.backbones import precision
from ..components.slots import Reader
from ..data import coverage, splits
from ..data.datasets import Dataset, label_set
from ..errors import DataError
from ..nn.backbone import BuildContext
from ..nn.batching import Sample, without_loss
from ..nn.batching import pack as collate
from ..nn.tagger import Tagger
from ..runtime import run_cache
from ..runtime.progress import Progress
from ..spec.experiment import Experiment
from ..subwords import token_cache
from ..subwords.tokenization import resolve_spacing
from ..types import Prediction, Sentence
from . import saving
from .predictor import Predictor
from .saving import TaggerModel, load, save

__all__ = [
    "build", "check", "collate", "encode", "extra_scores", "load", "load_splits", "predict", "save", "without_loss",
]  # fmt: skip


def load_splits(experiment: Experiment) -> dict[str, Dataset]:
    """The data of the spec; in a sweep, runs on the same data share it.

    Raises:
        DataError: as `data.load_splits`.
    """
    readers = [reader for name in splits.SPLITS if (reader := getattr(experiment.data, name)) is not None]
    key = (experiment.data.model_dump_json(serialize_as_any=True), experiment.scheme, *map(_files, readers))
    return run_cache.get("data", key, lambda: splits.load_splits(experiment.data, experiment.scheme), most=2)


def _files(reader: Reader) -> tuple[tuple[str, int, int], ...]:
    """The files of a reader as they are now."""
    there = [path for _, path in reader.paths() if path.exists()]
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in there)


def build(experiment: Experiment, training: Dataset) -> TaggerModel:
    """Build the untrained model that the spec describes, with the labels of the training data.

    Raises:
        ModelError: the backbone is not available, or cannot do what the spec requires.
    """
    labels = label_set(training)
    device = precision.device()
    context = BuildContext(
        device=device,
        seed=experiment.seed,
        texts=lambda: (" " + str(sentence.with_text().text) for sentence in training),
        gradient_checkpointing=experiment.trainer.gradient_checkpointing,
    )
    backbone = experiment.backbone.build(context)
    torch.manual_seed(experiment.seed)  # the head starts the same whatever the backbone drew
    head = experiment.head.build(backbone.hidden_size, labels)
    tagger = Tagger(backbone, experiment.aligner.build(), head).to(device)  # type: ignore[arg-type]
    return saving.assemble(
        tagger, labels, experiment.splitter, experiment.aligner, experiment.backbone, experiment.head,
        resolve_spacing(experiment.aligner.spacing, training), experiment.max_length, experiment.on_overflow,
        device, experiment.document_context,
    )  # fmt: skip


def encode(dataset: Dataset, model: TaggerModel, progress: Progress) -> list[Sample]:
    """The sentences as the model reads them, with the numbers of their tags; empty sentences are left out.

    Raises:
        DataError: there is not one word; or a sentence is too long, and the spec wants an error then.
    """
    encodings, cached = token_cache.encode(model.encoder, dataset.sentences)
    if cached is not None:
        progress.note(f"tokenised before: read from {cached}")
    number_of = model.labels.index
    samples = [
        Sample(encoding, [number_of[tag] for tag in sentence.tags or ()], number)
        for number, (sentence, encoding) in enumerate(zip(dataset.sentences, encodings, strict=True))
        if encoding.words
    ]
    windowed = sum(len(encoding.windows) > 1 for encoding in encodings)
    if windowed:
        progress.note(f"{windowed} sentences are longer than the model reads: read in overlapping windows")
    coverage.report_truncated_words(sum(encoding.cut_words for encoding in encodings), progress)
    if not samples:
        raise DataError("the training data has no words")
    coverage.check_trained_words(dataset, encodings, progress)
    return samples


def check(dataset: Dataset, model: TaggerModel) -> None:
    """Where the spec wants an error for sentences that are too long, have it before anything is trained.

    Raises:
        DataError: a sentence is too long.
    """
    if model.on_overflow == "error":
        model.encoder.encode(dataset.sentences)


def predict(
    model: TaggerModel, sentences: Iterable[Sentence], batch_tokens: int, window: int, progress: Progress
) -> Iterator[Prediction]:
    """Label sentences in order, with at most `window` of them in memory."""
    predictor = Predictor(model.tagger, model.encoder, model.labels, model.device, batch_tokens, progress)
    return predictor.predict(sentences, window)


def extra_scores(
    model: TaggerModel, predictions: Sequence[Prediction], score: Callable[..., Any]
) -> dict[str, Any]:
    """A tagger has no scores in addition to those of the metrics."""
    return {}
