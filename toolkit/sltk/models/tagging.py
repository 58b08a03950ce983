"""`type: tagger`: build a tagger from a spec, encode its training data, label with it, save and load it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..components.backbones import precision as devices
from ..components.slots import Aligner, Head, Reader
from ..data import coverage, splits
from ..data.datasets import Dataset, label_set
from ..data.partial_labels import PartialLabels
from ..data.tag_numbers import TagNumbers
from ..errors import DataError, Problem, SpecError
from ..files.data_files import all_files
from ..nn import sharding
from ..nn.batching import pack as collate
from ..nn.tagger import Tagger
from ..runtime import run_cache
from ..runtime.progress import Progress
from ..spec.experiment import Experiment
from ..subwords import token_cache
from ..subwords.samples import Sample, without_loss
from ..subwords.tokenization import resolve_spacing
from ..types import PrecisionSetting, Prediction
from . import saving
from .backbone_files import build_backbone
from .description import stored_values
from .saving import save
from .tagger_model import TaggerModel, check_decisions, predict

__all__ = [
    "HAS_EXTRA_SCORES", "build", "check", "check_decisions", "collate", "encode", "extra_scores", "load",
    "load_splits", "predict", "save", "without_loss",
]  # fmt: skip

HAS_EXTRA_SCORES = False


def load_splits(experiment: Experiment) -> dict[str, Dataset]:
    """Load the data of the spec; runs of a sweep that use the same data share it.

    Raises:
        DataError: see `data.splits.load_splits`.
    """
    key = (
        experiment.data.model_dump_json(serialize_as_any=True),
        experiment.scheme,
        *map(_file_states, filter(None, splits.readers_of(experiment.data).values())),
    )
    return run_cache.get("data", key, lambda: splits.load_splits(experiment.data, experiment.scheme), most=2)


def _file_states(reader: Reader) -> tuple[tuple[str, int, int], ...]:
    """Path, modification time and size of each file of a reader."""
    paths = [file for _, path in reader.paths() for file in all_files(path)]
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


def build(experiment: Experiment, training: Dataset) -> TaggerModel:
    """Build the untrained model that the spec describes, with the labels of the training data.

    Raises:
        ModelError: the backbone is not available, or cannot do what the spec requires.
        SpecError: keys of the head do not fit the training data.
    """
    labels = label_set(training)
    component = experiment.head.fitted(training.sentences, labels)  # first: its errors need no model
    backbone = build_backbone(experiment, lambda: (f" {sentence.with_text().text}" for sentence in training))
    torch.manual_seed(experiment.seed)  # the initial head does not depend on the backbone's random numbers
    head = component.build(backbone.hidden_size, labels)
    device = devices.device()
    network = Tagger(backbone, experiment.aligner.build().to(device), head.to(device))
    return TaggerModel(
        network=network if sharding.is_sharded(backbone) else network.to(device),
        labels=labels,
        splitter=experiment.splitter,
        aligner=experiment.aligner,
        backbone=experiment.backbone,
        head=component,
        spacing=resolve_spacing(experiment.aligner.spacing, training),
        max_length=experiment.max_length,
        on_overflow=experiment.on_overflow,
        document_context=experiment.document_context,
        batch_sentences=experiment.trainer.batch_size if backbone.attends_to_padding else None,
        device=device,
        trained_in={"setting": experiment.trainer.precision, "device": device.type},
    )


def load(folder: Path, *, merge: bool = True, precision: PrecisionSetting | None = None) -> TaggerModel:
    """Load a tagger for prediction. With `merge`, adapters become part of the float32 weights that they adapt.

    Raises:
        UsageError: the folder has no model, or one that another version of sltk wrote; or files are damaged.
        ModelError: its base model is not available, or differs from the one it was trained on; or the device does not
            have the `precision`.
    """
    description, backbone, fields = saving.load(folder, merge=merge, precision=precision)
    components = description["components"]
    aligner = stored_values(Aligner, folder, components["aligner"], "components.aligner")
    head = stored_values(Head, folder, components["head"], "components.head")

    def build() -> dict[str, nn.Module]:
        return {"head": head.build(backbone.hidden_size, fields["labels"]), "aligner": aligner.build()}

    modules = saving.load_modules(build, folder)
    return TaggerModel(
        network=Tagger(backbone, modules["aligner"], modules["head"]).to(fields["device"]).eval(),
        aligner=aligner,
        head=head,
        spacing=description["spacing"],
        on_overflow=description["on_overflow"],
        document_context=description.get("document_context", 0),
        **fields,
    )


def encode(dataset: Dataset, model: TaggerModel, progress: Progress) -> list[Sample]:
    """Encode sentences, with the numbers of their tags; empty sentences are left out.

    Raises:
        DataError: the data has no words, or a sentence is too long and the spec has `on_overflow: error`.
        SpecError: sentences are partly labelled, and the head cannot be trained on them.
    """
    encodings, cache = token_cache.encode(model.encoder, dataset.sentences)
    if cache is not None:
        progress.note(f"subwords read from the cache {cache}")
    number_tags, partial = TagNumbers.of(model.labels, dataset.sentences), PartialLabels(model.labels)
    samples = [
        Sample(encoding, number_tags(sentence.tags or ()), number, partial.of(sentence))
        for number, (sentence, encoding) in enumerate(zip(dataset.sentences, encodings, strict=True))
        if encoding.words
    ]
    if any(sample.allowed is not None for sample in samples):
        _check_partial(model)
    windowed = sum(len(encoding.windows) > 1 for encoding in encodings)
    if windowed:
        copies, limit = model.network.backbone.copies, model.encoder.max_length
        each = "" if copies == 1 else f" of {limit} subwords in each of {copies} copies"
        progress.note(
            f"{windowed} sentences exceed the model's maximum length{each}: read in overlapping windows"
        )
    coverage.report_truncated_words(sum(encoding.cut_words for encoding in encodings), progress)
    if not samples:
        raise DataError("the training data has no words")
    coverage.check_trained_words(dataset, encodings, progress)
    return samples


def _check_partial(model: TaggerModel) -> None:
    if not model.network.head.takes_partial_labels:
        message = f"head `{model.head.type_name}` cannot be trained on partly labelled sentences"
        reason = "its `loss` has no parameter `allowed_WL`: see docs/extending.md"
        advice = "or list all types under `annotates` in each source, if their corpora annotate them"
        raise SpecError(Problem(message, path="head", notes=(reason, advice)))


def check(dataset: Dataset, model: TaggerModel) -> None:
    """Check before training that no sentence is too long, if the spec has `on_overflow: error`.

    Raises:
        DataError: a sentence is too long.
    """
    if model.on_overflow == "error":
        model.encoder.encode(dataset.sentences)


def extra_scores(
    model: TaggerModel, predictions: Sequence[Prediction], score: Callable[..., Any]
) -> dict[str, Any]:
    """A tagger adds no scores to those of the metrics."""
    return {}
