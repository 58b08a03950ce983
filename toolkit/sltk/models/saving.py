"""The `model/` folder of a run: save a model to it, and load the parts that models of all types have.

    sltk.json           labels, scheme, mask, components, base model: everything except weights
    tokenizer/          as transformers saves it
    head.safetensors    head and aligner of a tagger, always in full precision
    adapter/            LoRA weights as peft saves them           (with `lora`)
    base/               the weights of the backbone               (fresh, trained whole, or a custom backbone)
    imports/            the files of `imports:` that define its components
    manifest.json       size and SHA-256 of each file, written last: see files/manifest.py

An export (exporting/exporter.py) has no adapter: its base has the merged weights.
All files are safetensors or JSON. A frozen pretrained base is not copied: sltk.json has its name, and its revision or
a hash of its content, and other weights under the same name are refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ..components.backbones.precision import device
from ..components.backbones.stored_weights import check_finite
from ..components.slots import Backbone, Splitter
from ..decoding import Decisions
from ..files import atomic, manifest
from ..files.damage import check_regular, report_damage
from ..nn.backbone import PackedBackbone
from ..schemes.labels import LabelSet
from ..types import PrecisionSetting
from .backbone_files import base_of, describe_backbone, load_backbone, save_backbone
from .description import DESCRIPTION, read_description, stored_values
from .integrity import HEAD, check_complete
from .stored_tensors import check_shapes


@dataclass(kw_only=True)
class Model(ABC):
    """A network with everything needed to use and to save it: what models of all types have."""

    type_name: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ("splitter", "backbone")
    """The components that sltk.json describes."""

    network: Any
    """The trained network: a `TrainableModule` with a `backbone`."""
    labels: LabelSet
    splitter: Splitter
    backbone: Backbone
    max_length: int | None
    device: torch.device
    trained_in: Mapping[str, str] = field(default_factory=dict)
    """`setting` of the precision, and type of the `device`, in training."""

    @property
    def decisions(self) -> Decisions:
        """How scores become predictions, unless something else is asked for."""
        return Decisions()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The keys of sltk.json that only this type of model has."""

    def head_modules(self) -> dict[str, nn.Module]:
        """The modules other than the backbone; their weights are in head.safetensors."""
        return {}


def save(model: Model, folder: Path, imports: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a model to `folder`, completely or not at all, with a copy of the folder `imports` if it exists.

    `about` are further keys of its manifest: the step, and a digest of the spec.
    """
    backbone = model.network.backbone
    with atomic.new_folder(folder) as partial:
        save_backbone(backbone, model.backbone, partial)
        save_rest(model, partial, base_of(backbone, model.backbone), imports)
        manifest.write(partial, **(about or {}))


def save_rest(model: Model, folder: Path, base: dict[str, Any], imports: Path) -> None:
    """Write everything except the backbone; `base` is the source of its weights in sltk.json."""
    backbone = model.network.backbone
    backbone.tokenizer.save_pretrained(folder / "tokenizer")
    if modules := model.head_modules():
        state = nn.ModuleDict(modules).state_dict()
        save_file({k: v.detach().contiguous().cpu() for k, v in state.items()}, str(folder / HEAD))
    for path in sorted(imports.glob("[!.]*.py")):
        if path.resolve().parent == imports.resolve():  # else a link would copy a file of whoever exports
            atomic.write_bytes(folder / "imports" / path.name, path.read_bytes())
    atomic.write_json(folder / DESCRIPTION, describe(model, base))


def describe(model: Model, base: dict[str, Any]) -> dict[str, Any]:
    """The content of sltk.json."""
    return {
        **describe_backbone(model.network.backbone, model.backbone, base),
        "scheme": model.labels.scheme,
        "labels": list(model.labels.tags),
        "max_length": model.max_length,
        **({"precision": dict(model.trained_in)} if model.trained_in else {}),
        "components": {slot: getattr(model, slot).model_dump(mode="json") for slot in model.slots},
        **model.settings(),
    }


def load(
    folder: Path, *, merge: bool, precision: PrecisionSetting | None, language_model: bool = False
) -> tuple[dict[str, Any], PackedBackbone, dict[str, Any]]:
    """Load the parts that models of all types have; `merge` adds adapters to the float32 weights they adapt.

    See `load_backbone` for `precision`.

    Returns:
        The content of sltk.json, the backbone, and the fields of `Model` except the network.

    Raises:
        UsageError: the folder has no model, or one that another version of sltk wrote; or files are missing or damaged.
        ModelError: its base model is not available, or differs from the one it was trained on.
    """
    check_regular(folder)
    description = read_description(folder)
    check_complete(folder, description)
    spec, backbone = load_backbone(
        folder, description, merge=merge, precision=precision, language_model=language_model
    )
    if not manifest.exists(folder):
        check_finite(backbone, folder)
    splitter = description["components"]["splitter"]
    fields = {
        "labels": LabelSet.stored(description["labels"], description["scheme"]),
        "splitter": stored_values(Splitter, folder, splitter, "components.splitter"),
        "backbone": spec,
        "max_length": description["max_length"],
        "device": device(),
        "trained_in": description.get("precision", {}),
    }
    return description, backbone, fields


def load_modules(build: Callable[[], dict[str, nn.Module]], folder: Path) -> dict[str, Any]:
    """Build the modules of `Model.head_modules` and load their weights.

    Raises:
        UsageError: the file is missing or damaged, or has other weights than the modules.
    """
    path = folder / HEAD
    check_shapes(build, path)
    with report_damage(path):
        modules = nn.ModuleDict(build())
        modules.load_state_dict(load_file(str(path)))
    if not manifest.exists(folder):
        check_finite(modules, path)
    return dict(modules)
