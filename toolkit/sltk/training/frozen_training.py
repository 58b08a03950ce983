"""Training on a frozen backbone: its vectors are computed once, when training starts, and reused in every epoch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from ..errors import Problem, UsageError
from ..models import memory_advice
from ..models.saving import Model
from ..models.tagger_model import TaggerModel
from ..nn.batching import Batch, batch_on
from ..nn.frozen_vectors import FrozenVectors, TrainingVectors
from ..preview.estimate import size_text
from ..preview.memory import VECTORS_IN_MEMORY
from ..runtime import processes, run_cache
from ..runtime.progress import Progress
from ..spec.experiment import Experiment
from ..subwords.samples import Sample

_SPARE_DISK = 2**30
"""Bytes of a disk that are left free."""


class FrozenTraining(TrainerCallback):  # type: ignore[misc]
    """Computes the vectors of all training samples when training starts, and keeps those of the validation data.

    Args:
        model: a tagger with a frozen backbone.
        samples: the training samples.
        spec: the run.
        folder: where a temporary file is created if memory does not suffice.
        progress: receives a note.
    """

    def __init__(
        self,
        model: TaggerModel,
        samples: Sequence[Sample],
        spec: Experiment,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._model, self._progress, self._folder = model, progress, folder
        self._batch_tokens = batch_tokens = spec.trainer.eval_batch_tokens
        network = model.network
        self.vectors = TrainingVectors(
            samples, network.backbone.sentence_tokens(batch_tokens), by_word=network.has_own_aligner
        )
        key = _key(model, spec, samples)
        make = partial(FrozenVectors, folder, VECTORS_IN_MEMORY)
        self._kept = make() if key is None else run_cache.get("frozen vectors", key, make, most=1)

    @classmethod
    def of(
        cls, model: Model, samples: Sequence[Any], spec: Experiment, folder: Path, progress: Progress
    ) -> FrozenTraining | None:
        """None if the backbone is trained, vectors are not to be reused, or no sample is trained on twice."""
        trainer = spec.trainer
        if not isinstance(model, TaggerModel) or not trainer.reuse_frozen or not model.network.is_frozen:
            return None
        if model.network.backbone.attends_to_padding:  # vectors depend on the batch
            return None
        update = trainer.batch_size * trainer.gradient_accumulation * processes.world_size()
        epochs = trainer.epochs if trainer.max_steps is None else trainer.max_steps * update / len(samples)
        return cls(model, samples, spec, folder, progress) if epochs > 1 else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Compute the vectors, as a part of the time of training."""
        size = self._size()
        where = "in memory" if size <= VECTORS_IN_MEMORY else "in a temporary file"
        if size > VECTORS_IN_MEMORY:
            self._check_disk(size)
        count = f"{self.vectors.rows:,} {'words' if self.vectors.by_word else 'subwords'}"
        self._progress.note(
            f"frozen backbone: the vectors of {count} are computed once ({size_text(size)}, {where}) and reused in "
            "every epoch"
        )
        with memory_advice.labelling(self._batch_tokens):
            flags, rank = self._model.network.backbone.flags, processes.rank()
            self.vectors.compute(self._kept, flags, self._compute, processes.gather_objects, rank)

    def _size(self) -> int:
        backbone = self._model.network.backbone
        floats = (p.element_size() for p in backbone.parameters() if p.is_floating_point())
        number = next(floats, 4) if backbone.precision == "fp32" else 4
        return self.vectors.rows * backbone.hidden_size * number

    def _check_disk(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if size > free - _SPARE_DISK:
            message = (
                f"the vectors of the frozen backbone need {size_text(size)}, and `{self._folder}` has "
                f"{size_text(free)} free"
            )
            advice = "`trainer.reuse_frozen: false` computes them anew in every epoch; or free some space"
            raise UsageError(Problem(message, notes=(advice,)))

    def _compute(self, batch: Batch) -> Tensor:
        network = self._model.network
        was_training = network.training
        network.eval()
        try:
            with torch.no_grad():
                return network.frozen_vectors(batch_on(batch, self._model.device))  # type: ignore[arg-type]
        finally:
            network.train(was_training)

    @contextmanager
    def reused(self) -> Iterator[None]:
        """Keep the vectors of batches that are labelled inside the context, and reuse those that are kept."""
        self._model.frozen_vectors = self._kept
        try:
            yield
        finally:
            self._model.frozen_vectors = None


def _key(model: TaggerModel, spec: Experiment, samples: Sequence[Sample]) -> tuple[Any, ...] | None:
    """What the vectors depend on besides batches and mask; runs of a sweep with the same key share them.

    None for fresh weights, which belong to one run.
    """
    backbone = model.network.backbone
    if not backbone.base:
        return None
    parts = (backbone.base, spec.backbone.model_dump_json(), spec.aligner.model_dump_json())
    data = (len(samples), sum(sample.tokens for sample in samples))
    return (*map(repr, parts), str(model.device), backbone.precision, *data)
