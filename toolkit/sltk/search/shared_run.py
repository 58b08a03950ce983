"""Trains one model for all masks, and scores every mask with its weights."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from .. import run
from ..data.datasets import Dataset
from ..files import atomic
from ..masks import flags, shared_start
from ..models import kinds, tagging
from ..models.evaluation import unverified
from ..models.labeller import Labeller
from ..nn import prefix_cache
from ..nn.mask_flags import MaskSwitch
from ..nn.trainable import TrainableModule
from ..runtime.progress import Progress
from ..spec import loading
from ..spec.experiment import Experiment
from ..subwords.documents import Chunk, chunks
from ..sweeps.run_state import main_score
from ..types import Prediction
from .batch_callback import BatchCallback
from .requested_runs import SCORES

_SENTENCES = 256
"""Sentences per part: all masks are scored on one part before the next, since its states are held in memory."""


class _DrawMasks(BatchCallback):
    """Switches the mask before each batch. Each mask is used once per cycle, in an order drawn for each cycle.

    A cycle has as many batches as there are masks. The order depends only on the seed and the number of the cycle.
    """

    def __init__(self, masks: Sequence[str], experiment: Experiment) -> None:
        super().__init__(experiment)
        self.masks = masks
        self.switch: MaskSwitch | None = None
        self.own: tuple[bool, ...] = ()
        """The flags of the mask in the spec."""

    def prepare(self, network: TrainableModule) -> None:
        """Set up the switch."""
        self.own = network.backbone.flags
        self.switch = MaskSwitch(network.backbone, drop_window=self.drop_window)

    def before_batch(self, batch: int) -> None:
        """Set the mask of a batch."""
        assert self.switch is not None
        self.switch.set(flags(self.mask_of(batch), self.switch.blocks))

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Restore the mask of the spec."""
        assert self.switch is not None
        super().on_train_end(args, state, control, model)
        self.switch.set(self.own)

    def mask_of(self, batch: int) -> str:
        """The mask of a batch, counted from 0."""
        cycle, position = divmod(batch, len(self.masks))
        order = random.Random(f"{self.seed} {cycle}").sample(list(self.masks), len(self.masks))
        return order[position]


def train_shared(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    resume: bool,
    force: bool,
    progress: Progress,
    masks: Sequence[str],
) -> dict[str, Any]:
    """Train one model whose batches alternate between masks, score each mask, and write `scores.json`."""
    experiment = loading.load(spec).spec
    if getattr(experiment.backbone, "freeze", False):  # its vectors change with the mask, from batch to batch
        spec = {**spec, "trainer": {**spec.get("trainer", {}), "reuse_frozen": False}}
    callback = _DrawMasks(masks, experiment)
    metrics = run.train(spec, folder, resume=resume, force=force, progress=progress, callbacks=(callback,))
    start_time = time.perf_counter()
    model = kinds.load(folder / "model")
    switch = MaskSwitch(model.network.backbone, drop_window=callback.drop_window)
    validation = tagging.load_splits(experiment)["validation"]
    scores = scores_of_masks(experiment, model, switch, masks, validation, progress)
    seconds = {"training": metrics["train"]["seconds"], "scoring": round(time.perf_counter() - start_time, 3)}
    atomic.write_json(folder / SCORES, {"seed": experiment.seed, "seconds": seconds, "scores": scores})
    return metrics


def scores_of_masks(
    experiment: Experiment,
    model: Any,
    switch: MaskSwitch,
    masks: Sequence[str],
    dataset: Dataset,
    progress: Progress,
) -> dict[str, float]:
    """The score of each mask on a data set, all with the same weights."""
    labeller = Labeller(model, experiment.trainer.eval_batch_tokens)
    parts = chunks(dataset, _SENTENCES, experiment.document_context)
    predictions = predictions_of_masks(labeller, switch, masks, parts, progress)
    return {mask: _score(experiment, predictions[mask]) for mask in masks}


def predictions_of_masks(
    labeller: Labeller,
    switch: MaskSwitch,
    masks: Sequence[str],
    parts: Iterable[Chunk],
    progress: Progress,
) -> dict[str, list[Prediction]]:
    """The predictions of each mask, part by part.

    Masks are run on the same sentences in the order of their flags, so that each starts from the first block whose
    flag differs from the mask before. Sentences around a part are labelled with it, as document context, and their
    predictions are dropped.
    """
    order = sorted((flags(mask, switch.blocks), mask) for mask in masks)
    skipped = [0, *(shared_start(one, other) for (one, _), (other, _) in pairwise(order))]
    model: Any = labeller.model
    blocks = prefix_cache.blocks_of(model.network.backbone)
    if blocks is None:
        skipped, blocks = [0] * len(order), []
    predictions: dict[str, list[Prediction]] = {mask: [] for mask in masks}
    with prefix_cache.PrefixCache(blocks, skipped).installed() as memory:
        for part in parts:
            memory.new_text()
            first, end = len(part.before), len(part.before) + len(part.sentences)
            for (own, mask), count in zip(order, skipped, strict=True):
                switch.set(own)
                memory.new_pass(count)
                around = labeller.stream([*part.before, *part.sentences, *part.after])
                predictions[mask].extend(list(around)[first:end])
            progress.note(f"scored {len(masks)} masks on {len(predictions[masks[0]])} sentences")
    return predictions


def _score(experiment: Experiment, predictions: list[Prediction]) -> float:
    value = main_score(unverified(experiment.metrics[0]).score(predictions, experiment.scheme))
    return 0.0 if value is None or math.isnan(value) else value
