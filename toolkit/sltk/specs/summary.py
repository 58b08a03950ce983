"""A spec in a few lines: what it would do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..data import SPLITS
from ..estimates.estimate import Estimate
from ..registry import Component
from ..spec import Experiment, TrainerSpec
from .options import shown_value


def summary_lines(experiment: Experiment, expected: Estimate | None = None) -> Iterator[str]:
    """The name, then a line each for data, model and training, and for what the run is expected to take."""
    yield f"{experiment.name} (seed {experiment.seed})"
    for split in SPLITS:
        reader = getattr(experiment.data, split)
        yield summary_line(split, component_text(reader) if reader is not None else "none")
    yield summary_line("words", f"splitter {component_text(experiment.splitter)}, scheme {experiment.scheme}")
    yield from backbone_lines(experiment.backbone)
    if experiment.instruct is not None:
        yield summary_line("instruct", changed_text(experiment.instruct, leave_out=("options",)))
        yield summary_line("options", shown_value(experiment.instruct.options))
    else:
        yield summary_line("aligner", component_text(experiment.aligner))
        yield summary_line("head", component_text(experiment.head))
    yield summary_line("metrics", "; ".join(component_text(metric) for metric in experiment.metrics))
    yield summary_line("trainer", trainer_text(experiment.trainer))
    for label, text in expected.lines() if expected is not None else ():
        yield summary_line(label, text)


def summary_line(name: str, text: str) -> str:
    """One line: what, and what of it."""
    return f"  {name:<13}{text}"


def component_text(component: Component, *, leave_out: tuple[str, ...] = ()) -> str:
    """The type, and the keys that differ from their defaults: `conll path a.conll, label_column 3`."""
    return " ".join(filter(None, (component.type_name, changed_text(component, leave_out=leave_out))))


def changed_text(model: BaseModel, *, leave_out: tuple[str, ...] = ()) -> str:
    """The keys that differ from their defaults."""
    parts = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        default = field.get_default(call_default_factory=True, validated_data={})
        if name not in leave_out and (field.is_required() or value != default):
            parts.append(f"{name} {value if isinstance(value, Path) else shown_value(value)}")
    return ", ".join(parts)


def backbone_lines(backbone: Component) -> Iterator[str]:
    """The backbone, and on lines of their own the parts of it that matter most."""
    own = {"unmask": "mask", "quantization": "quantization", "lora": "LoRA"}
    yield summary_line("backbone", component_text(backbone, leave_out=tuple(own)))
    for key, label in own.items():
        value: Any = getattr(backbone, key, None)
        if isinstance(value, BaseModel):
            yield summary_line(label, _all_text(value))
        elif value is not None:
            yield summary_line(label, shown_value(value))


def _all_text(model: BaseModel) -> str:
    values = {name: getattr(model, name) for name in type(model).model_fields}
    return ", ".join(f"{name} {shown_value(value)}" for name, value in values.items() if value is not None)


def trainer_text(trainer: TrainerSpec) -> str:
    """Length, batches and optimizer, and the keys that differ from their defaults."""
    length = f"{trainer.max_steps} updates" if trainer.max_steps else f"{trainer.epochs:g} epochs"
    batch = f"batch {trainer.batch_size}"
    if trainer.gradient_accumulation > 1:
        batch += f" × {trainer.gradient_accumulation}"
    rest = (
        "epochs",
        "max_steps",
        "batch_size",
        "gradient_accumulation",
        "optimizer",
        "learning_rate",
        "schedule",
    )
    text = (
        f"{length}, {batch}, {trainer.optimizer}, learning rate {trainer.learning_rate:g}, {trainer.schedule}"
    )
    return ", ".join(filter(None, (text, changed_text(trainer, leave_out=rest))))
