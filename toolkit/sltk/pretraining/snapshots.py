"""Models kept on the way: an untrained one, and so many an epoch, each a folder that a run can start from.

    steps/0000/    before the first update
    steps/0001/    1/k epoch later, …

A folder of a pre-trained model, `model/` at the end among them, holds

    config.json, model.safetensors   the language model whole, as transformers saves it     (trained whole)
    tokenizer.json, …                its tokenizer
    adapter/                         LoRA weights as peft saves them                         (with `lora`)
    pretraining.json                 objective, mask, base model, how far training was
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .._version import __version__
from ..errors import Problem, SpecError, UsageError
from ..files import atomic
from ..models.saving import FORMAT
from ..nn.backbone import PackedBackbone
from ..rundir.parent import DESCRIPTION
from ..runtime import processes
from .pretrain_spec import PretrainSpec


def save_pretrained(backbone: PackedBackbone, spec: PretrainSpec, folder: Path, **progress: Any) -> None:
    """Write a model to `folder`, which appears whole or not at all; `progress` says how far training was."""
    with atomic.new_folder(folder) as partial:
        if spec.language_model.lora is not None:
            model: Any = backbone.model
            model.save_pretrained(partial / "adapter")
        else:
            whole: Any = backbone.language_model
            whole.save_pretrained(partial)
        backbone.tokenizer.save_pretrained(partial)
        flags = "".join("01"[flag] for flag in backbone.flags)
        atomic.write_json(
            partial / DESCRIPTION,
            {
                "format": FORMAT,
                "sltk": __version__,
                "objective": spec.objective,
                "mask": {"unmask": spec.language_model.unmask, "flags": flags},
                "base": backbone.base,
                **progress,
            },
        )


@dataclass(frozen=True)
class Moments:
    """After which updates a model is kept."""

    per_epoch: int
    updates_per_epoch: int

    def number(self, update: int) -> int | None:
        """The number of the snapshot that is taken after this update, if one is."""
        number = update * self.per_epoch // self.updates_per_epoch
        return number if self.update(number) == update else None

    def update(self, number: int) -> int:
        """The update after which snapshot `number` is taken."""
        epochs, part = divmod(number, self.per_epoch)
        return epochs * self.updates_per_epoch + -(-part * self.updates_per_epoch // self.per_epoch)


def check_moments(per_epoch: int | None, updates_per_epoch: int) -> Moments | None:
    """When snapshots are taken; None where none are wanted.

    Raises:
        SpecError: an epoch has fewer updates than snapshots.
    """
    if per_epoch is None:
        return None
    if per_epoch > updates_per_epoch:
        about = f"`snapshots: {per_epoch}`: an epoch of this corpus has {updates_per_epoch} updates only"
        raise SpecError(Problem(about, path="snapshots"))
    return Moments(per_epoch, updates_per_epoch)


class Snapshots(TrainerCallback):  # type: ignore[misc]
    """Keeps a model before the first update and at each moment; one that is there already is written again."""

    def __init__(self, backbone: PackedBackbone, spec: PretrainSpec, folder: Path, moments: Moments) -> None:
        self.backbone, self.spec, self.folder, self.moments = backbone, spec, folder, moments

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the untrained model."""
        if state.global_step == 0:
            self._keep(0, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the model at a moment. A checkpoint of the same update is written after this."""
        number = self.moments.number(state.global_step)
        if number is not None:
            self._keep(number, state.global_step)

    def _keep(self, number: int, update: int) -> None:
        if processes.is_main_process():
            epoch = update / self.moments.updates_per_epoch
            save_pretrained(
                self.backbone,
                self.spec,
                self.folder / f"{number:04d}",
                snapshot=number,
                update=update,
                epoch=epoch,
            )


def snapshots(run: Path) -> list[Path]:
    """The models that a pre-training run kept, first to last.

    Raises:
        UsageError: there are none, or one is missing between others.
    """
    folder = run / "steps"
    found = sorted(path for path in folder.glob("[0-9]*") if (path / DESCRIPTION).is_file())
    if not found:
        raise UsageError(f"`{run}` holds no snapshots (no {folder / '0000'})")
    present = {int(path.name) for path in found}
    gaps = [f"{number:04d}" for number in range(max(present) + 1) if number not in present]
    if gaps:
        raise UsageError(
            Problem(
                f"`{folder}` has gaps: {', '.join(gaps[:8])}{' …' if len(gaps) > 8 else ''} missing",
                notes=("`sltk pretrain … --resume` writes again what comes after the last checkpoint",),
            )
        )
    return found
