"""Save the models of a pre-training run: snapshots during training, and the final model.

    steps/0000/    before the first update
    steps/0001/    after the first of the `snapshots` parts of an epoch, and so on

Each folder, and `model/` at the end, contains

    config.json, model.safetensors   the whole language model, as transformers saves it     (trained whole)
    tokenizer.json, …                its tokenizer
    adapter/                         LoRA weights as peft saves them                         (with `lora`)
    pretraining.json                 objective, mask, base model, duration of training
    manifest.json                    size and SHA-256 of each file
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..errors import Problem, SpecError, UsageError
from ..files import atomic, manifest
from ..models.backbone_files import describe_backbone, save_adapter
from ..nn.backbone import PackedBackbone
from ..rundir.pretrained_origin import DESCRIPTION
from ..runtime import processes
from ..spec.writing import digest
from .merging import Merging
from .pretrain_spec import PretrainSpec


def save_pretrained(backbone: PackedBackbone, spec: PretrainSpec, folder: Path, **training: Any) -> None:
    """Write a model to `folder`, completely or not at all; `training` says how long it was trained."""
    model: Any = backbone.model
    language_model: Any = backbone.language_model
    with atomic.new_folder(folder) as partial:
        if spec.language_model.lora is not None:
            save_adapter(model, partial)
        else:
            language_model.save_pretrained(partial)
        backbone.tokenizer.save_pretrained(partial)
        description = describe_backbone(backbone, spec.backbone, backbone.base)
        merge = {} if spec.merge is None else {"merge": spec.merge}
        atomic.write_json(
            partial / DESCRIPTION, description | {"objective": spec.objective} | merge | training
        )
        manifest.write(partial, step=training["update"], spec=digest(spec))


@dataclass(frozen=True)
class SnapshotSchedule:
    """The updates after which a snapshot is saved.

    Raises:
        SpecError: an epoch has fewer updates than snapshots.
    """

    per_epoch: int
    updates_per_epoch: int

    def __post_init__(self) -> None:
        if self.per_epoch > self.updates_per_epoch:
            updates = f"an epoch of this corpus has only {self.updates_per_epoch} updates"
            about = f"`snapshots: {self.per_epoch}`, but {updates}"
            raise SpecError(Problem(about, path="snapshots"))

    def number(self, update: int) -> int | None:
        """The number of the snapshot after this update, if there is one."""
        number = update * self.per_epoch // self.updates_per_epoch
        return number if self.update(number) == update else None

    def update(self, number: int) -> int:
        """The update after which snapshot `number` is saved."""
        epochs, part = divmod(number, self.per_epoch)
        return epochs * self.updates_per_epoch + -(-part * self.updates_per_epoch // self.per_epoch)


@dataclass(eq=False)
class Snapshots(TrainerCallback):  # type: ignore[misc]
    """Saves the untrained model and the snapshots of a schedule; existing ones are overwritten."""

    backbone: PackedBackbone
    merging: Merging
    spec: PretrainSpec
    folder: Path
    schedule: SnapshotSchedule

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the untrained model."""
        if state.global_step == 0:
            self._save(0, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save a snapshot. A checkpoint of the same update is written after it."""
        number = self.schedule.number(state.global_step)
        if number is not None:
            self._save(number, state.global_step)

    def _save(self, number: int, update: int) -> None:
        if processes.is_main_process():
            folder, epoch = self.folder / f"{number:04d}", update / self.schedule.updates_per_epoch
            with self.merging.merged():
                save_pretrained(self.backbone, self.spec, folder, snapshot=number, update=update, epoch=epoch)


def snapshots(run: Path) -> list[Path]:
    """The folders of the snapshots of a run, in order.

    Raises:
        UsageError: the run has no snapshots, or one is missing between others.
    """
    folder = run / "steps"
    paths = sorted(path for path in folder.glob("[0-9]*") if (path / DESCRIPTION).is_file())
    if not paths:
        raise UsageError(f"`{run}` has no snapshots (no {folder / '0000'})")
    numbers = {int(path.name) for path in paths}
    gaps = [f"{number:04d}" for number in range(max(numbers) + 1) if number not in numbers]
    if gaps:
        raise UsageError(
            Problem(
                f"`{folder}` has gaps: {', '.join(gaps[:8])}{' …' if len(gaps) > 8 else ''} missing",
                notes=("`sltk pretrain … --resume` writes the snapshots after the last checkpoint again",),
            )
        )
    return paths
