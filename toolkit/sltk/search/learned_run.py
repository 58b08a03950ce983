"""Trains one model that learns its mask, and ends with the most likely mask of those that are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from .. import run
from ..errors import ModelError, Problem
from ..files import atomic
from ..files.damage import read_json
from ..masks import flags
from ..nn.mask_gates import MaskGates
from ..nn.trainable import TrainableModule
from ..rundir.directory import RunDirectory
from ..runtime.progress import Progress
from ..spec import loading
from ..spec.experiment import Experiment
from .batch_callback import BatchCallback
from .requested_runs import SCORES, check_gates
from .search_spec import GateSpec

_GATES = "gates.json"
"""In the directory of the run: how the mask is learned; then also the mask, and the gates at the end of training."""


class LearnMask(BatchCallback):
    """Adds gates to the network, sets them before each pass, and replaces them by the most likely mask at the end.

    What is drawn depends only on the seed and the number of the batch.

    Args:
        masks: the masks to choose from.
        strategy: `sigmoid` or `gumbel`.
        settings: how the mask is learned.
        folder: the run directory, for `gates.json`.
        progress: receives a note about the mask.
    """

    def __init__(
        self,
        masks: Sequence[str],
        strategy: str,
        settings: GateSpec,
        experiment: Experiment,
        folder: Path,
        progress: Progress,
    ) -> None:
        super().__init__(experiment)
        self.masks, self.strategy, self.settings = masks, strategy, settings
        self.needs_batches = strategy == "gumbel"  # the gradient of `sigmoid` adds up over any passes
        own = 0.9 if experiment.backbone.type_name == "encoder" else 0.1
        self._initial = own if settings.initial is None else settings.initial
        self._folder, self._progress = folder, progress
        self._gates: MaskGates | None = None

    @property
    def gates(self) -> MaskGates:
        """The gates of the network."""
        assert self._gates is not None
        return self._gates

    def prepare(self, network: TrainableModule) -> None:
        """Add the gates.

        Raises:
            ModelError: the mask of the model cannot be switched block by block.
        """
        blocks = len(network.backbone.flags)
        network.gates = self._gates = MaskGates(
            network.backbone,
            {mask: flags(mask, blocks) for mask in self.masks},
            initial=self._initial,
            learning_rate=self.settings.learning_rate,
            drop_window=self.drop_window,
        )

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, train_dataloader: Any = None, **_: Any
    ) -> None:
        """Record how the mask is learned."""
        super().on_train_begin(args, state, control, model, train_dataloader)
        self._record()

    def _record(self, **values: Any) -> None:
        settings = {"strategy": self.strategy, "settings": self.settings.model_dump(mode="json")}
        atomic.write_json(self._folder / _GATES, {**settings, **values})

    def before_batch(self, batch: int) -> None:
        """Set the gates of a batch."""
        if self.strategy == "sigmoid":
            self.gates.bias()
            return
        random = Random(f"{self.seed} {batch}")
        first, last = self.settings.temperature
        temperature = first * (last / first) ** self.progress
        self.gates.draw([random.random() for _ in self.gates.logits], temperature)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Replace the gates by the most likely mask, and prove it."""
        super().on_train_end(args, state, control, model)
        gates, backbone = self.gates, model.backbone
        gates.close()
        model.gates = None
        backbone.learned_mask = gates.choice()
        if backbone.prove is not None:
            backbone.proof = backbone.prove()
        probabilities = [round(each, 6) for each in gates.probabilities()]
        self._record(mask=backbone.learned_mask, gates=probabilities, likelihoods=gates.likelihoods())
        shown = " ".join(f"{each:.2f}" for each in probabilities)
        self._progress.note(f"learned mask: {backbone.learned_mask}; how open each block is: {shown}")


def train_learned(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    resume: bool,
    force: bool,
    progress: Progress,
    masks: Sequence[str],
    strategy: str,
    gates: Mapping[str, Any],
) -> dict[str, Any]:
    """Train one model that learns its mask, and write `scores.json`: the log-likelihood of each mask.

    The run directory is that of a run with the learned mask: in its spec, its model and its proof.
    """
    experiment, directory = loading.load(spec).spec, RunDirectory(folder)
    if getattr(experiment.backbone, "freeze", False):  # its vectors change with the gates
        trainer = experiment.trainer.model_copy(update={"reuse_frozen": False})
        experiment = experiment.model_copy(update={"trainer": trainer})
    settings = GateSpec(**gates)
    if resume and (folder / _GATES).exists():
        check_gates(folder / _GATES, settings)
    if resume and directory.metrics.exists():  # killed after training
        metrics = read_json(directory.metrics)
    else:
        callback = LearnMask(masks, strategy, settings, experiment, folder, progress)
        metrics = run.train(
            experiment, folder, resume=resume, force=force, progress=progress, callbacks=(callback,)
        )
    learned = _learned(folder)
    backbone = experiment.backbone.model_copy(update={"unmask": learned["mask"]})
    directory.replace_spec(experiment.model_copy(update={"backbone": backbone}))
    scores = {
        "seed": experiment.seed,
        "seconds": {"training": metrics["train"]["seconds"]},
        "settings": learned["settings"],
        "mask": learned["mask"],
        "gates": learned["gates"],
        "scores": learned["likelihoods"],
    }
    atomic.write_json(folder / SCORES, scores)
    return metrics


def _learned(folder: Path) -> dict[str, Any]:
    values = read_json(folder / _GATES) if (folder / _GATES).exists() else {}
    if "mask" not in values:
        raise ModelError(Problem("no mask was learned, because the run has no updates", path="trainer"))
    return values
