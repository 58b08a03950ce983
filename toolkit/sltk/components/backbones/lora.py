"""Low-rank adapters, by peft: which layers get one, putting them on, and starting from those of another run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import nn

from ...errors import ModelError, Problem, nearest
from ...families.model_tables import QUERY_AND_VALUE
from ...nn.fused.onednn import is_linear, stores_transposed

if TYPE_CHECKING:
    from .pretrained import LoRA

_PATH = "backbone.lora.target_modules"


def targets(model: nn.Module, wanted: list[str] | str | None) -> list[str]:
    """The names of the layers that get an adapter.

    Raises:
        ModelError: a name is no linear layer of the model; those that exist are listed.
    """
    full_names = [name for name, part in model.named_modules() if is_linear(part)]
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
        fan_in_fan_out=any(stores_transposed(part) for part in model.modules()),
    )
    fresh: nn.Module = get_peft_model(model, config)
    return fresh


_WEIGHTS, _SETTINGS = "adapter_model.safetensors", "adapter_config.json"
_DESCRIPTIONS = ("pretraining.json", "sltk.json")
"""What says, beside an adapter, which base it was trained on: of `sltk pretrain`, and of `sltk train`."""
_ADAPTER = "backbone.adapter"


def start_from(model: Any, adapter: str, base: Mapping[str, Any]) -> None:
    """Put the weights of a trained adapter in the place of the fresh ones of `model`, which is inside peft's.

    Args:
        adapter: a run directory, its `model/` or `adapter/`, or any folder that peft wrote.
        base: where the weights of the model around it came from, as `PackedBackbone.base` says it.

    Raises:
        ModelError: there is no adapter there; or it is one of another base model, or of other LoRA settings.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    folder = _adapter_folder(Path(adapter))
    _check_base(folder, base)
    differing = list(_other_settings(model.peft_config["default"], folder))
    if differing:
        about = f"the adapter in `{folder}` was trained with other settings than `lora` has"
        raise ModelError(Problem(about, path="backbone.lora", notes=tuple(differing)))
    state = load_file(str(folder / _WEIGHTS))
    fresh = get_peft_model_state_dict(model)
    fits = {name: value.shape for name, value in state.items()} == {k: v.shape for k, v in fresh.items()}
    if not fits:
        raise _other_base(folder, "its weights do not fit the layers of this one")
    set_peft_model_state_dict(model, state)


def _adapter_folder(place: Path) -> Path:
    """The folder with the weights of an adapter.

    Raises:
        ModelError: there is none.
    """
    for folder in (place, place / "adapter", place / "model" / "adapter"):
        if (folder / _SETTINGS).is_file() and (folder / _WEIGHTS).is_file():
            return folder
    for folder in (place, place / "model"):
        if (folder / "config.json").is_file():
            note = f"start from it by `name: {folder}`"
            raise ModelError(
                Problem(f"`{place}` holds a model that was trained whole", path=_ADAPTER, notes=(note,))
            )
    note = "expected the directory of a finished run with `lora`"
    raise ModelError(Problem(f"`{place}` holds no adapter", path=_ADAPTER, notes=(note,)))


def _check_base(folder: Path, base: Mapping[str, Any]) -> None:
    """Compare the base that an adapter was trained on with the one that it is to be put on, where it is known."""
    found = next((path for name in _DESCRIPTIONS if (path := folder.parent / name).is_file()), None)
    if found is None:
        return
    before = json.loads(found.read_text(encoding="utf-8")).get("base", {})
    key = "content" if "content" in before and "content" in base else "name"
    keys = ("content",) if key == "content" else ("name", "revision")
    if any(before.get(each) != base.get(each) for each in keys):
        named = " of other weights" if before.get("name") == base.get("name") else f" `{before.get('name')}`"
        raise _other_base(folder, f"it is an adapter of{named}, and this model is `{base.get('name')}`")


def _other_base(folder: Path, why: str) -> ModelError:
    note = "name the base model that the adapter was trained on, or train one on this base: `sltk pretrain`"
    about = f"the adapter in `{folder}` is for another base model: {why}"
    return ModelError(Problem(about, path=_ADAPTER, notes=(note,)))


def _other_settings(own: Any, folder: Path) -> Iterator[str]:
    """What a saved adapter has otherwise: rank, scale, layers."""
    saved = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
    pairs = {
        "r": (saved.get("r"), own.r),
        "alpha": (saved.get("lora_alpha"), own.lora_alpha),
        "target_modules": (sorted(saved.get("target_modules") or ()), sorted(own.target_modules)),
    }
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            yield f"{name}: the adapter has {theirs}, `lora` has {ours}"
