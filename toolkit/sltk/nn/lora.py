"""Low-rank adapters, by peft: which layers get one, and putting them on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn

from ..errors import ModelError, Problem, nearest
from ..family_table import QUERY_AND_VALUE

if TYPE_CHECKING:
    from pathlib import Path

    from ..backbones.pretrained import LoRA

_PATH = "backbone.lora.target_modules"


def targets(model: nn.Module, wanted: list[str] | str | None) -> list[str]:
    """The names of the layers that get an adapter.

    Raises:
        ModelError: a name is no linear layer of the model; those that exist are listed.
    """
    full_names = [name for name, part in model.named_modules() if _is_linear(part)]
    linear = sorted({name.rsplit(".", 1)[-1] for name in full_names})
    if wanted == "all-linear":
        return linear
    if wanted is None:
        return _query_and_value(linear)
    missing = [name for name in wanted if not any(_ends_with(full, name) for full in full_names)]
    if missing:
        note = f"linear layers: {', '.join(linear)}"
        raise ModelError(
            [
                Problem(
                    f"the model has no linear layer `{name}`",
                    path=_PATH,
                    suggestion=nearest(name, linear),
                    notes=(note,),
                )
                for name in missing
            ]
        )
    return list(wanted)


def _query_and_value(linear: Iterable[str]) -> list[str]:
    known = set(linear)
    found = next((names for names in QUERY_AND_VALUE if known.issuperset(names)), None)
    if found is None:
        message = "no query and value projections known for this family: name them"
        raise ModelError(Problem(message, path=_PATH, notes=(f"linear layers: {', '.join(sorted(known))}",)))
    return list(found)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or _is_conv1d(module)


def _is_conv1d(module: nn.Module) -> bool:
    """GPT-2's linear layer, whose weight is stored transposed."""
    return type(module).__name__ == "Conv1D"


def _ends_with(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def with_adapters(model: Any, spec: LoRA, saved: Path | None) -> nn.Module:
    """The model with adapters around its layers: fresh ones, or those that stand in `saved`."""
    from peft import LoraConfig, PeftModel, get_peft_model

    if saved is not None:
        loaded: nn.Module = PeftModel.from_pretrained(model, str(saved))
        return loaded
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=targets(model, spec.target_modules),
        bias="none",
        fan_in_fan_out=any(_is_conv1d(part) for part in model.modules()),
    )
    fresh: nn.Module = get_peft_model(model, config)
    return fresh
