"""What a `model/` folder holds, and how a model is saved to it and loaded from it.

    sltk.json           labels, scheme, mask, components, base model: everything but numbers
    tokenizer/          as transformers saves it
    head.safetensors    head (and aligner): always in full precision
    adapter/            LoRA weights, as peft saves them          (with `lora`)
    base/               the backbone's own weights                (fresh, trained whole, or of one's own making)
    imports/            the files of `imports:` that its components come from

An exported folder (export.py) has no adapter: its base holds the merged weights.
Safetensors and JSON only. A frozen pretrained base is not copied; sltk.json names it, with its revision or a
hash of its content, and other weights under the same name are refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model

from .._version import __version__
from ..components.backbones import precision
from ..components.backbones.pretrained import PretrainedBackbone
from ..components.slots import Aligner, Backbone, Head, Splitter
from ..errors import ModelError, Problem, UsageError
from ..files import atomic
from ..nn.backbone import BuildContext, PackedBackbone
from ..nn.tagger import Tagger
from ..schemes.labels import LabelSet
from ..spec.stored import read_mapping
from ..subwords.tokenization import SubwordEncoder

FORMAT = 1
DESCRIPTION = "sltk.json"
_HEAD = "head.safetensors"
_OWN_WEIGHTS = Path("base") / "weights.safetensors"
"""All weights of a backbone that is no transformers model."""


@dataclass
class TaggerModel:
    """A tagger with all that is needed to use it."""

    type_name: ClassVar[str] = "tagger"
    tagger: Tagger
    labels: LabelSet
    encoder: SubwordEncoder
    splitter: Splitter
    aligner: Aligner
    backbone: Backbone
    head: Head
    max_length: int | None
    on_overflow: Literal["window", "error"]
    device: torch.device

    @property
    def network(self) -> Tagger:
        """What is trained."""
        return self.tagger


def save(model: TaggerModel, folder: Path, imports: Path) -> None:
    """Write the model to `folder`, which appears whole or not at all, with a copy of the folder `imports`."""
    with atomic.new_folder(folder) as partial:
        save_backbone(model.tagger.backbone, model.backbone, partial)
        save_rest(model, partial, base_of(model.tagger.backbone, model.backbone), imports)


def save_rest(model: TaggerModel, folder: Path, base: dict[str, Any], imports: Path) -> None:
    """All but the backbone: tokenizer, head, description, and a copy of `imports` if there is such a folder."""
    model.tagger.backbone.tokenizer.save_pretrained(folder / "tokenizer")
    save_file(head_state(model.tagger), str(folder / _HEAD))
    write_description(_description(model, base), folder, imports)


def write_description(description: dict[str, Any], folder: Path, imports: Path) -> None:
    """Write `sltk.json`, and a copy of the folder `imports` if there is one."""
    if imports.is_dir():
        shutil.copytree(imports, folder / "imports", ignore=shutil.ignore_patterns(".*"))
    text = json.dumps(description, indent=2, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def head_state(tagger: Tagger) -> dict[str, torch.Tensor]:
    """Weights and buffers of head and aligner, in full precision."""
    parts = {"head": tagger.head, "aligner": tagger.aligner}
    return {
        f"{part}.{name}": value.detach().contiguous().cpu()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }


def save_backbone(backbone: PackedBackbone, spec: Backbone, folder: Path) -> None:
    """Write `adapter/` and `base/`, each where there is need of it; a language model with its output embedding."""
    network: Any = backbone.model
    if not isinstance(spec, PretrainedBackbone):
        (folder / "base").mkdir()
        save_model(network, str(folder / _OWN_WEIGHTS))
        return
    if spec.lora is not None:
        network.save_pretrained(folder / "adapter")
        network = network.get_base_model()
    network = backbone.language_model or network
    if spec.is_trained_whole:
        network.save_pretrained(folder / "base")
    elif spec.init == "random":
        _save_fresh(network, folder / "base")


def _save_fresh(network: Any, folder: Path) -> None:
    """Save a frozen model that is in no hub; adapters change the names of its weights, which are plain here."""
    state = {_plain_name(k): v for k, v in network.state_dict().items() if "lora_" not in k}
    if getattr(network, "hf_quantizer", None) is None:
        network.save_pretrained(folder, state_dict=state)
        return
    # A quantized model's `save_pretrained` takes no state: it would save its own, with the names of adapters.
    network.config.save_pretrained(folder)
    once = {
        value.data_ptr(): name for name, value in reversed(state.items())
    }  # tied weights by their first name
    weights = {name: state[name].contiguous().cpu() for name in once.values()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})


def _plain_name(name: str) -> str:
    return name.replace(".base_layer.", ".")


def base_of(backbone: PackedBackbone, spec: Backbone) -> dict[str, Any]:
    """Where the base of a saved model is: beside it, or by name."""
    if not isinstance(spec, PretrainedBackbone) or spec.is_trained_whole or spec.init == "random":
        return {"path": "base"}
    return backbone.base


def _description(model: TaggerModel, base: dict[str, Any]) -> dict[str, Any]:
    unmask = getattr(model.backbone, "unmask", None)
    return {
        "format": FORMAT,
        "sltk": __version__,
        "scheme": model.labels.scheme,
        "labels": list(model.labels.tags),
        "mask": {"unmask": unmask, "flags": "".join("01"[flag] for flag in model.tagger.backbone.flags)},
        "spacing": model.encoder.spacing,
        "max_length": model.max_length,
        "on_overflow": model.on_overflow,
        "document_context": model.encoder.document_context,
        "base": base,
        "components": {
            slot: getattr(model, slot).model_dump(mode="json")
            for slot in ("splitter", "aligner", "backbone", "head")
        },
    }


def is_model(folder: Path) -> bool:
    """Whether the folder itself is a model: that of a run, or an exported one."""
    return (folder / DESCRIPTION).is_file()


def check_format(folder: Path, written: Mapping[str, Any], way_out: str) -> None:
    """Refuse what another version of sltk wrote in another form; `written` says which one did.

    Raises:
        UsageError: it did.
    """
    if written.get("format") == FORMAT:
        return
    about = (
        f"`{folder}` was written by sltk {written.get('sltk', 'of an older version')} in format "
        f"{written.get('format', '?')}; this is sltk {__version__}, which reads format {FORMAT}"
    )
    raise UsageError(Problem(about, notes=(way_out,)))


def describe(folder: Path) -> dict[str, Any]:
    """The description of a saved model.

    Raises:
        UsageError: the folder holds no model, or one of another version of sltk.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UsageError(f"`{folder}` holds no sltk model (no {DESCRIPTION}); was its training finished?")
    description = read_mapping(path)
    check_format(folder, description, "train it again, or use the version that wrote it")
    return description


def load(folder: Path, *, merge: bool = True, prove: bool = True) -> TaggerModel:
    """Load a model for prediction. With `merge`, adapters become part of the float32 weights they adapt.

    Raises:
        UsageError: no model there, or one of another version.
        ModelError: its base model cannot be had, or is another than it was trained on.
    """
    description = describe(folder)
    components = description["components"]
    labels = LabelSet(tuple(description["labels"]), description["scheme"])
    device = precision.device()
    base = description["base"]
    context = BuildContext(device=device, seed=0, saved=folder, base=base, prove=prove)
    backbone, packed = load_backbone(description, context)
    head = Head.model_validate(components["head"])
    aligner = Aligner.model_validate(components["aligner"])
    tagger = Tagger(packed, aligner.build(), head.build(packed.hidden_size, labels)).to(device)  # type: ignore[arg-type]
    with _undamaged(folder):
        _load_head(tagger, load_file(str(folder / _HEAD)))
    if merge and is_mergeable(packed):
        packed.model = packed.model.merge_and_unload()  # type: ignore[operator]
    return assemble(
        tagger.eval(), labels, Splitter.model_validate(components["splitter"]), aligner, backbone, head,
        description["spacing"], description["max_length"], description["on_overflow"], device,
        description.get("document_context", 0),
    )  # fmt: skip


def load_backbone(description: dict[str, Any], context: BuildContext) -> tuple[Backbone, PackedBackbone]:
    """The backbone of a saved model: what the spec says of it, and the thing itself.

    Raises:
        UsageError: files of the model are missing or damaged.
        ModelError: its base model cannot be had, or is another than it was trained on, or has another mask.
    """
    base, saved = description["base"], context.saved
    assert saved is not None
    _check_whole(saved, description)
    backbone = _pinned(Backbone.model_validate(description["components"]["backbone"]), base)
    with _undamaged(saved):
        packed = backbone.build(context)
        if not isinstance(backbone, PretrainedBackbone):
            load_model(packed.model, saved / _OWN_WEIGHTS, device=str(context.device))
    if base.get("revision") and packed.base.get("revision") != base["revision"]:
        raise ModelError(
            f"`{base['name']}` is of revision {packed.base.get('revision')}, not {base['revision']}"
        )
    _check_flags(packed.flags, description["mask"]["flags"])
    return backbone, packed


def _check_whole(folder: Path, description: dict[str, Any]) -> None:
    """See that all is there that was saved."""
    backbone = description["components"]["backbone"]
    needed = ["tokenizer", *([_HEAD] if "head" in description["components"] else [])]
    needed += ["adapter"] if backbone.get("lora") else []
    needed += ["base"] if description["base"].get("path") == "base" else []
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        raise UsageError(f"the model in `{folder}` is not whole: {', '.join(missing)} missing")


@contextmanager
def _undamaged(folder: Path) -> Iterator[None]:
    """Say which model it is that cannot be read."""
    try:
        yield
    except (SafetensorError, FileNotFoundError) as error:
        raise UsageError(f"the model in `{folder}` is damaged: {error}") from error


def is_mergeable(backbone: PackedBackbone) -> bool:
    """Whether there is an adapter that can be merged without a loss: in half precision, or in few bits, it cannot."""
    model: Any = backbone.model
    dtypes = {parameter.dtype for parameter in model.parameters()}
    return hasattr(model, "merge_and_unload") and dtypes == {torch.float32}


def _pinned(backbone: Backbone, base: dict[str, Any]) -> Backbone:
    """The backbone with the very revision of a hub model that it was trained on."""
    return backbone.model_copy(update={"revision": base["revision"]}) if base.get("revision") else backbone


def assemble(
    tagger: Tagger,
    labels: LabelSet,
    splitter: Splitter,
    aligner: Aligner,
    backbone: Backbone,
    head: Head,
    spacing: Literal["single", "source"],
    max_length: int | None,
    on_overflow: Literal["window", "error"],
    device: torch.device,
    document_context: int = 0,
) -> TaggerModel:
    """A model of its parts; the window is what the spec or else the backbone allows."""
    window = max_length or tagger.backbone.max_length
    encoder = SubwordEncoder(tagger.backbone.tokenizer, spacing, window, on_overflow, document_context)
    return TaggerModel(
        tagger, labels, encoder, splitter, aligner, backbone, head, max_length, on_overflow, device
    )


def _load_head(tagger: Tagger, state: dict[str, torch.Tensor]) -> None:
    for part, module in (("head", tagger.head), ("aligner", tagger.aligner)):
        own = {
            name.removeprefix(f"{part}."): value
            for name, value in state.items()
            if name.startswith(f"{part}.")
        }
        module.load_state_dict(own)  # strict: a missing weight would leave a random head


def _check_flags(flags: tuple[bool, ...], saved: str) -> None:
    if "".join("01"[flag] for flag in flags) != saved:
        raise ModelError(
            f"the saved mask is {saved} block by block, but the model was built with another one"
        )
