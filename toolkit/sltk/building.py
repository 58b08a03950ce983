"""From a spec and its training data to a model that is not trained yet, and to what the model reads."""

from __future__ import annotations

from typing import Literal

import torch

from . import checkpoint
from .checkpoint import Model
from .data import Dataset
from .errors import DataError
from .labels import LabelSet
from .nn import precision
from .nn.backbone import BuildContext
from .nn.batching import Sample
from .nn.tagger import Tagger
from .progress import Progress
from .spec import Experiment


def build(experiment: Experiment, labels: LabelSet, training: Dataset) -> Model:
    """The untrained model that the spec describes.

    Raises:
        ModelError: the backbone cannot be had or cannot do what the spec asks.
    """
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
    return checkpoint.assemble(
        tagger, labels, experiment.splitter, experiment.aligner, experiment.backbone, experiment.head,
        spacing(experiment, training), experiment.max_length, experiment.on_overflow, device,
    )  # fmt: skip


def spacing(experiment: Experiment, training: Dataset) -> Literal["single", "source"]:
    """What the model reads between words: as asked, or the source text where all of the training data has it."""
    if experiment.aligner.spacing != "auto":
        return experiment.aligner.spacing
    return "source" if all(sentence.text is not None for sentence in training) else "single"


def encode_all(dataset: Dataset, model: Model, progress: Progress) -> list[Sample]:
    """The sentences as the model reads them, with the numbers of their tags; empty sentences are left out.

    Raises:
        DataError: there is not one word; or a sentence is too long, and the spec wants an error then.
    """
    encodings = model.encoder.encode(dataset.sentences)
    number_of = model.labels.index
    samples = [
        Sample(encoding, [number_of[tag] for tag in sentence.tags or ()], number)
        for number, (sentence, encoding) in enumerate(zip(dataset.sentences, encodings, strict=True))
        if encoding.words
    ]
    windowed = sum(len(encoding.windows) > 1 for encoding in encodings)
    if windowed:
        progress.note(f"{windowed} sentences are longer than the model reads: read in overlapping windows")
    cut = sum(encoding.cut_words for encoding in encodings)
    if cut:
        progress.note(f"{cut} words alone are longer than the model reads: their middle was left out")
    if not samples:
        raise DataError("the training data has no words")
    return samples


def check_lengths(dataset: Dataset, model: Model) -> None:
    """Where the spec wants an error for sentences that are too long, have it before anything is trained.

    Raises:
        DataError: a sentence is too long.
    """
    if model.on_overflow == "error":
        model.encoder.encode(dataset.sentences)
