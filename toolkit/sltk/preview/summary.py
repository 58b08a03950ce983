"""Parts of a spec as text, for its summary: components, the backbone, the trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..components.registry import Component
from ..components.strict import StrictModel
from ..spec.learning_rates import LearningRates
from ..spec.options import shown_value
from ..spec.trainer_settings import TrainerSpec

Row = tuple[str, str]
"""Label and text of one line of a summary."""


def component_text(component: Component, *, leave_out: Sequence[str] = ()) -> str:
    """The type, and the keys that differ from their defaults: `conll path a.conll, label_column 3`."""
    return " ".join(filter(None, (component.type_name, changed_text(component, leave_out=leave_out))))


def changed_text(model: BaseModel, *, leave_out: Sequence[str] = ()) -> str:
    """The keys that differ from their defaults."""
    parts = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        default = field.get_default(call_default_factory=True, validated_data={})
        if name not in leave_out and (field.is_required() or value != default):
            parts.append(f"{name} {value if isinstance(value, Path) else shown_value(value)}")
    return ", ".join(parts)


def backbone_rows(backbone: Component) -> Iterator[Row]:
    """The backbone, and one row each for mask, quantization and LoRA."""
    parts = {"unmask": "mask", "quantization": "quantization", "lora": "LoRA"}
    yield "backbone", component_text(backbone, leave_out=tuple(parts))
    for key, label in parts.items():
        value: Any = getattr(backbone, key, None)
        if isinstance(value, StrictModel):
            settings = value.without_defaults(
                {name: getattr(value, name) for name in type(value).model_fields}
            )
            yield label, ", ".join(f"{k} {shown_value(v)}" for k, v in settings.items() if v is not None)
        elif value is not None:
            yield label, shown_value(value)


def trainer_text(trainer: TrainerSpec) -> str:
    """Length, batches and optimizer, and the other keys that differ from their defaults."""
    length = f"{trainer.max_steps} updates" if trainer.max_steps else f"{trainer.epochs:g} epochs"
    accumulation = f" × {trainer.gradient_accumulation}" if trainer.gradient_accumulation > 1 else ""
    batch = f"batch {trainer.batch_size}{accumulation}"
    rate = f"learning rate {trainer.learning_rate:g}"
    shown = {
        "epochs",
        "max_steps",
        "batch_size",
        "gradient_accumulation",
        "optimizer",
        "learning_rate",
        "schedule",
    }
    others = changed_text(trainer, leave_out=tuple(shown))
    return ", ".join(filter(None, (length, batch, trainer.optimizer, rate, trainer.schedule, others)))


def rate_rows(trainer: TrainerSpec, blocks: int | None) -> Iterator[Row]:
    """The learning rates of the parts of the network, if they differ."""
    rates = LearningRates(trainer, blocks or 0)
    if not rates.are_equal and (blocks or trainer.layer_decay == 1):
        yield "rates", rates.text()
