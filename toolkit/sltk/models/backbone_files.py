"""Build the backbone of a spec, and save it to and load it from the `model/` folder of a run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_file, save_model

from .._version import __version__
from ..components.backbones import precision as devices
from ..components.backbones.pretrained import PretrainedBackbone
from ..components.slots import Backbone
from ..errors import Location, ModelError, Problem
from ..files.damage import report_damage
from ..nn import sharding
from ..nn.autocast import use_tf32
from ..nn.backbone import BuildContext, PackedBackbone
from ..runtime import processes
from ..spec.experiment import RunSpec
from ..types import PrecisionSetting
from .description import DESCRIPTION, FORMAT, stored_values

_CUSTOM_WEIGHTS = Path("base") / "weights.safetensors"
"""All weights of a custom backbone that is not a transformers model."""


def build_backbone(
    spec: RunSpec, texts: Callable[[], Iterable[str]], *, language_model: bool = False
) -> PackedBackbone:
    """Build the untrained backbone of a spec; `texts` returns the training text, for a tokenizer trained on it.

    Raises:
        ModelError: the backbone is not available, or cannot do what the spec requires.
    """
    device = devices.device()
    use_tf32(device)
    context = BuildContext(
        device=device,
        precision=devices.resolve(spec.trainer.precision, device),
        seed=spec.seed,
        texts=texts,
        gradient_checkpointing=spec.trainer.gradient_checkpointing is True,  # `auto` is decided later
        language_model=language_model,
    )
    if spec.trainer.sharding != "none" and processes.world_size() > 1:
        build = functools.partial(_build_in_main_memory, spec.backbone, context)
        return sharding.build_sharded(build, device, context.precision)
    backbone = spec.backbone.build(context)
    backbone.precision = context.precision
    return backbone


def _build_in_main_memory(spec: Backbone, context: BuildContext) -> PackedBackbone:
    """Build a backbone with the dtypes of its device, but not on it; its mask is proven on the device."""
    assert isinstance(spec, PretrainedBackbone)
    dtype = str(devices.weights_dtype(spec, context)).removeprefix("torch.")
    spec = spec.model_copy(update={"dtype": dtype})
    stays = context.device.type == "cpu" and context.precision == "fp32"
    memory = replace(context, device=torch.device("cpu"), precision="fp32", prove=False, fuse=stays)
    return spec.build(memory)


def save_backbone(backbone: PackedBackbone, spec: Backbone, folder: Path) -> None:
    """Write `adapter/` and `base/`, as far as they are needed; a language model includes its output embedding."""
    network: Any = backbone.model
    if not isinstance(spec, PretrainedBackbone):
        (folder / "base").mkdir()
        save_model(network, str(folder / _CUSTOM_WEIGHTS))
        return
    if spec.lora is not None:
        save_adapter(network, folder)
        network = network.get_base_model()
    network = backbone.language_model or network
    if spec.trains_all_weights:
        network.save_pretrained(folder / "base")
    elif spec.init == "random":
        _save_fresh(network, folder / "base")


def save_adapter(network: Any, folder: Path) -> None:
    """Write `adapter/`. The vocabulary never changes, so peft need not ask the hub for the size of the original."""
    network.save_pretrained(folder / "adapter", save_embedding_layers=False)


def _save_fresh(network: Any, folder: Path) -> None:
    """Save frozen fresh weights, which no hub has, under their names without adapters."""
    state = {
        name.replace(".base_layer.", ".").replace(".original_module.", "."): value
        for name, value in network.state_dict().items()
        if "lora_" not in name and ".modules_to_save." not in name
    }
    if getattr(network, "hf_quantizer", None) is None:
        network.save_pretrained(folder, state_dict=state)
        return
    # `save_pretrained` of a quantized model ignores `state_dict` and saves names of adapters.
    network.config.save_pretrained(folder)
    # The first name of each tensor, since safetensors refuses tied weights.
    first_names = {value.data_ptr(): name for name, value in reversed(state.items())}
    weights = {name: state[name].contiguous().cpu() for name in first_names.values()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})


def base_of(backbone: PackedBackbone, spec: Backbone) -> dict[str, Any]:
    """The source of the base weights of a saved model: its own `base/`, or name and revision or content hash."""
    if not isinstance(spec, PretrainedBackbone) or spec.trains_all_weights or spec.init == "random":
        return {"path": "base"}
    return backbone.base


def describe_backbone(backbone: PackedBackbone, spec: Backbone, base: dict[str, Any]) -> dict[str, Any]:
    """The keys with which every description of a saved model starts."""
    return {
        "format": FORMAT,
        "sltk": __version__,
        "mask": {"unmask": getattr(spec, "unmask", None), "flags": _flags_text(backbone)}
        | ({} if backbone.window is None else {"window": backbone.window}),
        "base": base,
    }


def stored_backbone(folder: Path, description: dict[str, Any]) -> Backbone:
    """The backbone in the description of a saved model.

    Raises:
        UsageError: its values are not valid, or no backbone of this type is registered.
    """
    return stored_values(Backbone, folder, description["components"]["backbone"], "components.backbone")


def load_backbone(
    folder: Path,
    description: dict[str, Any],
    *,
    merge: bool,
    precision: PrecisionSetting | None,
    language_model: bool = False,
) -> tuple[Backbone, PackedBackbone]:
    """Load the backbone of a saved model. Returns its spec and the model.

    With `merge`, adapters become part of the float32 weights that they adapt. Without a `precision`, the model
    computes as in training, if it was trained on such a device.

    Raises:
        UsageError: files of the model are missing or damaged.
        ModelError: its base model is not available, or differs from the one it was trained on; or its mask differs.
    """
    spec, base = stored_backbone(folder, description), description["base"]
    if getattr(spec, "attend_to_padding", False):
        raise ModelError(_attends_to_padding(folder))
    if base.get("revision"):  # the revision of the hub model that it was trained on
        spec = spec.model_copy(update={"revision": base["revision"]})
    device = devices.device()
    if merge:  # to label with; other uses compare in full precision
        use_tf32(device)
    setting = precision or devices.as_trained(description.get("precision", {}), device)
    context = BuildContext(
        device=device,
        seed=0,
        saved=folder,
        base=base,
        language_model=language_model,
        precision=devices.resolve(setting, device, key=None),
    )
    backbone = spec.build(context)
    if not isinstance(spec, PretrainedBackbone):
        with report_damage(folder / _CUSTOM_WEIGHTS):
            load_model(backbone.model, folder / _CUSTOM_WEIGHTS, device=str(context.device))
    if base.get("revision") and backbone.base.get("revision") != base["revision"]:
        raise ModelError(
            f"`{base['name']}` has revision {backbone.base.get('revision')}, expected {base['revision']}"
        )
    flags = description["mask"]["flags"]
    if _flags_text(backbone) != flags:
        about = f"the saved mask is {flags}, one digit per block, but the model was built with the mask "
        raise ModelError(Problem(about + _flags_text(backbone), Location(str(folder / DESCRIPTION))))
    window = description["mask"].get("window")
    if backbone.window != window:
        about = f"the saved mask has the window {window}, but the model was built with {backbone.window}"
        raise ModelError(Problem(about, Location(str(folder / DESCRIPTION))))
    model: Any = backbone.model
    dtypes = {parameter.dtype for parameter in model.parameters()}
    # Only float32 weights can be merged without loss.
    if merge and hasattr(model, "merge_and_unload") and dtypes == {torch.float32}:
        backbone.model = model.merge_and_unload()
    backbone.precision = context.precision
    if merge:
        backbone.round_weights()
    return spec, backbone


def _attends_to_padding(folder: Path) -> Problem:
    about = "the model attends to padding: what it predicts for a sentence depends on the others in its batch"
    notes = (
        "its scores and predictions are in its run directory, for comparison with other runs of its sweep",
        "to use a model, train it without `backbone.attend_to_padding`",
    )
    return Problem(about, Location(str(folder / DESCRIPTION)), notes=notes)


def _flags_text(backbone: PackedBackbone) -> str:
    return "".join("01"[flag] for flag in backbone.flags)
