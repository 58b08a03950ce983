"""What a search trains that is no ordinary run: a part of a run, and one model for all masks."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .. import building, config, models, run
from ..data import Dataset
from ..errors import SltkError
from ..files import atomic
from ..labeller import Labeller
from ..masking import flags, shared_start
from ..nn import prefixes
from ..nn.switching import MaskSwitch
from ..progress import Progress
from ..recipes import RECIPES
from ..spec import Experiment
from ..subwords.documents import Stretch, stretches
from ..sweeps.records import score
from ..types import Prediction

SCORES = "scores.json"
_SENTENCES = 256
"""Sentences that all masks are scored on before the next: their states are held in memory."""


class _PausedError(SltkError):
    """The run has come as far as it was to come, and its checkpoint is written."""


class _PauseAfter(TrainerCallback):  # type: ignore[misc]
    """Ends training with the checkpoint of an epoch; `resume` goes on as if nothing had been."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave, unless training is over anyway."""
        is_over = control.should_training_stop or state.global_step >= state.max_steps
        if not is_over and (state.epoch or 0) >= self.epochs - 1e-6:
            raise _PausedError


def partial(
    spec: Mapping[str, Any], folder: Path, *, resume: bool, force: bool, progress: Progress, epochs: int
) -> dict[str, Any]:
    """Train a run until so many epochs are behind it; its metrics if that was all, else `{"paused": epochs}`."""
    try:
        return run.train(
            spec, folder, resume=resume, force=force, progress=progress, callbacks=(_PauseAfter(epochs),)
        )
    except _PausedError:
        return {"paused": epochs}


class _DrawMasks(TrainerCallback):  # type: ignore[misc]
    """Gives each batch a mask: every mask once in as many batches as there are masks, in an order drawn anew.

    A batch counts if its gradient is part of an update: `as_released` keeps one of `gradient_accumulation`.
    The draw depends on the seed and the number of the batch alone, so a resumed run draws as one that was not
    interrupted.
    """

    def __init__(self, masks: Sequence[str], experiment: Experiment) -> None:
        self.masks, self.seed = masks, experiment.seed
        self.drop_window = getattr(experiment.backbone, "unmask_window", None) == "drop"
        self.accumulates = RECIPES[experiment.trainer.recipe].accumulates
        self.switch: MaskSwitch | None = None
        self.own: tuple[bool, ...] = ()
        self.batches_per_epoch = 0
        self.batch = 0

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, train_dataloader: Any = None, **_: Any
    ) -> None:
        """Find the blocks, and how many batches there are."""
        self.own = model.backbone.flags
        self.switch = MaskSwitch(model.backbone, drop_window=self.drop_window)
        self.batches_per_epoch = len(train_dataloader)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The mask of the first batch of an update; the last update of an epoch may have fewer than the others."""
        if self.accumulates:
            updates_per_epoch = math.ceil(self.batches_per_epoch / args.gradient_accumulation_steps)
            epoch, update = divmod(state.global_step, updates_per_epoch)
            self._set(epoch * self.batches_per_epoch + update * args.gradient_accumulation_steps)
        else:
            self._set(state.global_step)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The mask of the next batch of the update."""
        if self.accumulates:
            self._set(self.batch + 1)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Leave the model with the mask that its spec says."""
        assert self.switch is not None
        self.switch.set(self.own)

    def _set(self, batch: int) -> None:
        assert self.switch is not None
        self.batch = batch
        self.switch.set(flags(self.mask_of(batch), self.switch.blocks))

    def mask_of(self, batch: int) -> str:
        """The mask of a batch, counted from 0."""
        cycle, place = divmod(batch, len(self.masks))
        order = random.Random(f"{self.seed} {cycle}").sample(list(self.masks), len(self.masks))
        return order[place]


def shared(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    resume: bool,
    force: bool,
    progress: Progress,
    masks: Sequence[str],
) -> dict[str, Any]:
    """Train one model whose batches draw their masks, score each mask with its weights, write `scores.json`."""
    experiment = config.given(spec).experiment
    drawing = _DrawMasks(masks, experiment)
    metrics = run.train(spec, folder, resume=resume, force=force, progress=progress, callbacks=(drawing,))
    begun = time.perf_counter()
    model = models.load(folder / "model")
    switch = MaskSwitch(model.network.backbone, drop_window=drawing.drop_window)
    validation = building.load_splits(experiment)["validation"]
    scores = scores_of_masks(experiment, model, switch, masks, validation, progress)
    seconds = {"training": metrics["train"]["seconds"], "scoring": round(time.perf_counter() - begun, 3)}
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
    """What each mask scores on a data set with one and the same weights."""
    labeller = Labeller(model, experiment.trainer.eval_batch_tokens)
    parts = stretches(dataset, _SENTENCES, experiment.document_context)
    found = predictions_of_masks(labeller, switch, masks, parts, progress)
    return {mask: _score(experiment, found[mask]) for mask in masks}


def predictions_of_masks(
    labeller: Labeller,
    switch: MaskSwitch,
    masks: Sequence[str],
    parts: Iterable[Stretch],
    progress: Progress,
) -> dict[str, list[Prediction]]:
    """What each mask makes of sentences, part by part.

    The masks go over the same sentences in the order of their flags, so that each starts from the first block
    whose flag is not that of the mask before it. Where a part has neighbours, they are labelled with it, and what
    was made of them is passed over: the sentences beside them are read in their document.
    """
    order = sorted((flags(mask, switch.blocks), mask) for mask in masks)
    leave_out = [0, *(shared_start(one, other) for (one, _), (other, _) in pairwise(order))]
    blocks = prefixes.blocks_of(labeller.model.network.backbone)
    if blocks is None:
        leave_out, blocks = [0] * len(order), []
    found: dict[str, list[Prediction]] = {mask: [] for mask in masks}
    with prefixes.Prefixes(blocks, leave_out).at_work() as memory:
        for part in parts:
            memory.new_text()
            first, end = len(part.before), len(part.before) + len(part.sentences)
            for (own, mask), skipped in zip(order, leave_out, strict=True):
                switch.set(own)
                memory.new_pass(skipped)
                around = labeller.stream([*part.before, *part.sentences, *part.after])
                found[mask].extend(list(around)[first:end])
            progress.note(f"scored {len(masks)} masks on {len(found[masks[0]])} sentences")
    return found


def _score(experiment: Experiment, predictions: list[Prediction]) -> float:
    found = score(experiment.metrics[0].score(predictions, experiment.scheme))
    return 0.0 if found is None or math.isnan(found) else found
