"""What a search trains that is no ordinary run: a part of a run, and one model for all masks."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
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
from ..spec import Experiment
from ..sweeps.records import score
from ..types import Prediction, Sentence

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

    The draw depends on the seed and the number of the batch alone, so a resumed run draws as one that was not
    interrupted.
    """

    def __init__(self, masks: Sequence[str], seed: int, *, drop_window: bool) -> None:
        self.masks, self.seed, self.drop_window = masks, seed, drop_window
        self.switch: MaskSwitch | None = None
        self.own: tuple[bool, ...] = ()
        self.in_update = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Find the blocks."""
        self.own = model.backbone.flags
        self.switch = MaskSwitch(model.backbone, drop_window=self.drop_window)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The mask of the first batch of an update."""
        self.in_update = 0
        self._set(state.global_step * args.gradient_accumulation_steps)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The mask of the next batch of the update."""
        self.in_update += 1
        self._set(state.global_step * args.gradient_accumulation_steps + self.in_update)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Leave the model with the mask that its spec says."""
        assert self.switch is not None
        self.switch.set(self.own)

    def _set(self, batch: int) -> None:
        assert self.switch is not None
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
    drop_window = getattr(experiment.backbone, "unmask_window", None) == "drop"
    drawing = _DrawMasks(masks, experiment.seed, drop_window=drop_window)
    metrics = run.train(spec, folder, resume=resume, force=force, progress=progress, callbacks=(drawing,))
    begun = time.perf_counter()
    model = models.load(folder / "model")
    switch = MaskSwitch(model.network.backbone, drop_window=drop_window)
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
    """What each mask scores on a data set with one and the same weights.

    The masks go over the same sentences in the order of their flags, so that each starts from the first block
    whose flag is not that of the mask before it.
    """
    order = sorted((flags(mask, switch.blocks), mask) for mask in masks)
    ordered = [own for own, _ in order]
    leave_out = [0, *(shared_start(*pair) for pair in pairwise(ordered))]
    blocks = prefixes.blocks_of(model.network.backbone)
    if blocks is None:
        leave_out, blocks = [0] * len(order), []
    labeller = Labeller(model, experiment.trainer.eval_batch_tokens)
    found: dict[str, list[Prediction]] = {mask: [] for mask in masks}
    with prefixes.Prefixes(blocks, leave_out).at_work() as memory:
        for some in _in_parts(dataset):
            memory.new_text()
            for (own, mask), skipped in zip(order, leave_out, strict=True):
                switch.set(own)
                memory.new_pass(skipped)
                found[mask].extend(labeller.stream(some))
            progress.note(f"scored {len(masks)} masks on {len(found[masks[0]])} sentences")
    return {mask: _score(experiment, found[mask]) for mask in masks}


def _score(experiment: Experiment, predictions: list[Prediction]) -> float:
    found = score(experiment.metrics[0].score(predictions, experiment.scheme))
    return 0.0 if found is None or math.isnan(found) else found


def _in_parts(sentences: Iterable[Sentence]) -> Iterator[list[Sentence]]:
    left = iter(sentences)
    while part := list(islice(left, _SENTENCES)):
        yield part
