"""Smaller versions of the parts of a spec, for rehearsals of any kind of run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from .. import masks
from ..components.backbones.pretrained import PretrainedBackbone, TrainedTokenizer
from ..components.slots import Backbone, Reader
from ..families.model_shape import tiny_config
from ..files.data_files import is_missing
from ..preview.model_info import ModelInfo
from ..runtime.progress import Progress
from ..spec.trainer_settings import TrainerSpec

B = TypeVar("B", bound=Backbone)

SENTENCES = 16
"""Sentences read from each split or text."""
_VOCABULARY = 400


def small_trainer(trainer: TrainerSpec, progress: Progress) -> TrainerSpec:
    """Two epochs of a few updates each."""
    small: dict[str, Any] = {
        "epochs": 2,
        "max_steps": None,
        "save_every": None,
        "batch_size": min(trainer.batch_size, 4),
        "eval_batch_tokens": min(trainer.eval_batch_tokens, 512),
        "log_to": [],
    }
    if (reason := _missing_precision(trainer)) is not None:
        progress.note(f"rehearsal: products in the precision of this machine: {reason}")
        small["precision"] = "auto"
    changed = ", ".join(
        f"{key} {value}" for key, value in small.items() if value and value != getattr(trainer, key)
    )
    progress.note(f"rehearsal: {changed or 'epochs 2'}")
    if trainer.log_to:
        progress.note(f"rehearsal: nothing is logged to {', '.join(trainer.log_to)}")
    return trainer.model_copy(update=small)


def _missing_precision(trainer: TrainerSpec) -> str | None:
    """The reason why this machine cannot compute in the precision of a run that is meant for another machine."""
    from ..components.backbones import precision  # imports torch

    return None if trainer.precision == "auto" else precision.missing(trainer.precision, precision.device())


def small_backbone(backbone: B, progress: Progress) -> B:
    """A tiny model of the same family; a custom backbone stays unchanged."""
    if not isinstance(backbone, PretrainedBackbone):
        progress.note(f"rehearsal: the backbone `{backbone.type_name}` is custom and stays unchanged")
        return backbone
    source = ModelInfo.of(backbone)
    family, lora = source.family, backbone.lora
    if family is None:
        family = "bert" if backbone.type_name == "encoder" else "llama"
        progress.note(f"rehearsal: the architecture of `{backbone.name}` is unknown; {family} replaces it")
        if lora is not None and isinstance(lora.target_modules, list):
            progress.note(
                f"rehearsal: LoRA on its query and value projections instead of {lora.target_modules}"
            )
            lora = lora.model_copy(update={"target_modules": None})
        if lora is not None and lora.modules_to_save is not None:
            progress.note(f"rehearsal: no `modules_to_save` instead of {lora.modules_to_save}")
            lora = lora.model_copy(update={"modules_to_save": None})
    blocks = tiny_blocks(backbone.unmask, source.shape.blocks if source.shape is not None else None)
    exits_early = backbone.blocks != "all"
    config = tiny_config(family, blocks + exits_early)
    if source.config.get("sliding_window"):
        config["sliding_window"] = 8
    weights = "pretrained weights" if backbone.init == "pretrained" else "the model"
    progress.note(
        f"rehearsal: a fresh {family} model of {blocks} blocks, hidden size 64, instead of {weights}"
    )
    if exits_early:
        progress.note(f"rehearsal: these are the first of its {blocks + 1} blocks")
    progress.note("rehearsal: its tokenizer is trained on the data of the rehearsal")
    if backbone.adapter is not None:
        progress.note(f"rehearsal: fresh adapters instead of those of `{backbone.adapter}`")
    update = {
        "name": None, "revision": None, "gguf_file": None, "init": "random", "config": config, "lora": lora,
        "adapter": None, "tokenizer": TrainedTokenizer(vocab_size=_VOCABULARY),
        "blocks": blocks if exits_early else "all",
    }  # fmt: skip
    return backbone.model_copy(update=update)


def tiny_blocks(mask: masks.MaskText, blocks: int | None) -> int:
    """Enough blocks to show what a mask does: at least four, in equal groups, at most those of the true model."""
    if isinstance(mask, list):
        needed = max(mask, default=0) + 2
    elif ":" in mask and masks.window(mask) is None:
        needed = int(mask.partition(":")[2]) + 2
    elif masks.is_digits(mask):
        needed = len(mask) * -(-4 // len(mask))
    else:
        needed = 4
    needed = max(4, needed)
    return needed if blocks is None else min(needed, blocks)


def absences(reader: Reader) -> Iterator[str]:
    """The data of a reader that is not on this machine."""
    yield from (f"`{path}`, which is not on this machine" for _, path in reader.paths() if is_missing(path))
    if reader.type_name == "huggingface" and getattr(reader, "path", None) is None:
        yield f"`{getattr(reader, 'name', None)}`, which is on the hub"
