"""Low-rank adapters with peft: select the layers, add the adapters, and start from those of another run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors.torch import load_file
from torch import nn

from ... import masks
from ...errors import ModelError, Problem, nearest
from ...families.model_tables import QUERY_AND_VALUE
from ...files import manifest
from ...files.damage import damaged, read_header, read_json, report_damage
from ...nn.fused.onednn import is_linear, stores_transposed
from ...runtime import progress
from .base_weights import is_same_base
from .early_exit import block_of

if TYPE_CHECKING:
    from .pretrained import LoRA

_PATH = "backbone.lora.target_modules"


def targets(model: nn.Module, target_modules: list[str] | str | None) -> list[str]:
    """The names of the layers that get an adapter.

    Raises:
        ModelError: a name is not a linear layer of the model; the message lists the existing ones.
    """
    full_names = [name for name, part in model.named_modules() if is_linear(part)]
    linear = sorted({name.rsplit(".", 1)[-1] for name in full_names})
    if target_modules == "all-linear":
        return linear
    if target_modules is None:
        return _query_and_value(linear)
    missing = [name for name in target_modules if not any(_ends_with(full, name) for full in full_names)]
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
    return list(target_modules)


def saved_modules(model: nn.Module, spec: LoRA, *, quantized: bool = False) -> list[str]:
    """The full names of the layers that are trained whole.

    Args:
        model: the model, or one without weights.
        spec: the adapters.
        quantized: whether the linear layers of the model will be quantized.

    Raises:
        ModelError: a name is no single layer of the model, or one that gets an adapter, or that will be quantized.
    """
    layers = {name: part for name, part in model.named_modules() if name and _is_layer(part)}
    linear = {name for name, part in layers.items() if is_linear(part)}
    adapted = {
        full for full in linear for name in targets(model, spec.target_modules) if _ends_with(full, name)
    }
    names: dict[str, None] = {}
    problems: list[Problem] = []
    for number, name in enumerate(spec.modules_to_save or ()):
        matches = [full for full in layers if _ends_with(full, name)]
        path = f"backbone.lora.modules_to_save.{number}"
        if not matches:
            known = sorted({full.rsplit(".", 1)[-1] for full in layers})
            notes = (f"layers: {', '.join(known)}",)
            about = f"the model has no single layer `{name}`"
            problems.append(Problem(about, path=path, suggestion=nearest(name, known), notes=notes))
        elif not adapted.isdisjoint(matches):
            about = f"`{name}` gets an adapter, so it cannot be trained whole too"
            problems.append(Problem(about, path=path, notes=("leave it out of `target_modules`, or here",)))
        elif quantized and not linear.isdisjoint(matches):
            problems.append(Problem(f"`{name}` is quantized, so it cannot be trained whole", path=path))
        names |= dict.fromkeys(matches)
    if problems:
        raise ModelError(problems)
    return list(names)


def _is_layer(module: nn.Module) -> bool:
    """Whether a module has weights, and no modules inside that have some."""
    return any(True for _ in module.parameters(recurse=False)) and not any(
        True for child in module.children() for _ in child.parameters()
    )


def _query_and_value(linear: Iterable[str]) -> list[str]:
    known = set(linear)
    match = next((names for names in QUERY_AND_VALUE if known.issuperset(names)), None)
    if match is None:
        message = "the query and value projections of this family are not known: list them"
        raise ModelError(Problem(message, path=_PATH, notes=(f"linear layers: {', '.join(sorted(known))}",)))
    return list(match)


def _ends_with(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def with_adapters(model: Any, spec: LoRA, saved: Path | None) -> nn.Module:
    """Add adapters to a model: fresh ones, or those in the folder `saved`.

    peft reads no file: its config could name other layers, other initial values, or a model on the hub, and it would
    load a pickle, or ask the hub, if the safetensors file is missing.

    Raises:
        ModelError: a target is not a linear layer of the model.
        UsageError: a file in `saved` is missing or damaged, or has weights for other adapters.
    """
    from peft import LoraConfig, get_peft_model

    names = spec.target_modules if saved is None else _check_saved(saved, spec)
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=targets(model, names),
        use_rslora=spec.rslora,
        use_dora=spec.dora,
        bias="none",
        fan_in_fan_out=any(stores_transposed(part) for part in model.modules()),
    )
    whole = saved_modules(model, spec)
    adapted: nn.Module = get_peft_model(model, config)
    for name in whole:
        _train_whole(model, name)
    config.modules_to_save = whole or None
    if saved is not None:
        _replace_weights(adapted, saved / _WEIGHTS)
        adapted.requires_grad_(False)
    return adapted


def _train_whole(model: nn.Module, name: str) -> None:
    """Train a float32 copy of a layer in its place, as peft does with its `modules_to_save`.

    peft itself compares ends of names, so that `norm` would be `input_layernorm` too.
    """
    from peft.utils import ModulesToSaveWrapper

    parent, _, last = name.rpartition(".")
    wrapper = ModulesToSaveWrapper(model.get_submodule(name), _NAME)
    wrapper.modules_to_save.float()
    wrapper.set_adapter(_NAME)
    setattr(model.get_submodule(parent), last, wrapper)


def _check_saved(folder: Path, spec: LoRA) -> list[str]:
    """Check that a saved adapter has the rank and scale of the spec, and return the names of its layers.

    Raises:
        UsageError: it has not, or a file is missing or damaged.
    """
    settings = read_json(folder / _SETTINGS)
    expected_values = {
        "r": spec.r,
        "lora_alpha": spec.alpha,
        "use_dora": spec.dora,
        "use_rslora": spec.rslora,
    }
    for key, expected in {**expected_values, **_PLAIN}.items():
        if (settings.get(key) or None) != (expected or None):
            raise damaged(folder / _SETTINGS, f"`{key}` is {settings.get(key)}, expected {expected}")
    names = settings.get("target_modules")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise damaged(folder / _SETTINGS, "`target_modules` is not a list of names")
    for name, entry in read_header(folder / _WEIGHTS).items():
        if ".lora_A." in name and entry["shape"][:1] != [spec.r]:
            raise damaged(
                folder / _WEIGHTS, f"`{name}` has the shape {entry['shape']}, and the rank is {spec.r}"
            )
    return names


def _replace_weights(model: Any, path: Path, unused: frozenset[str] = frozenset()) -> None:
    """Replace the weights of fresh adapters by those in a file, except the `unused` ones.

    Raises:
        UsageError: the file is missing or damaged, or has other names or shapes.
    """
    from peft import set_peft_model_state_dict

    found, fresh = _stored_shapes(path, unused), _shapes(model)
    for name in sorted(fresh.keys() ^ found.keys()):
        raise damaged(path, f"`{name}` is missing" if name in fresh else f"`{name}` is unknown")
    for name, shape in fresh.items():
        if found[name] != shape:
            raise damaged(path, f"`{name}` has the shape {list(found[name])}, expected {list(shape)}")
    with report_damage(path):
        weights = {name: value for name, value in load_file(str(path)).items() if name not in unused}
        set_peft_model_state_dict(model, weights)


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the adapters of a peft model, by their names in files."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tuple(value.shape) for name, value in state.items()}


def _stored_shapes(path: Path, unused: frozenset[str] = frozenset()) -> dict[str, tuple[int, ...]]:
    return {name: tuple(entry["shape"]) for name, entry in read_header(path).items() if name not in unused}


_PLAIN: dict[str, Any] = dict.fromkeys(("alpha_pattern", "rank_pattern", "layer_replication"))
"""Settings of peft that sltk does not use, and that would change the result."""
_NAME = "default"
"""The name of the only adapter in a peft model."""
_WEIGHTS, _SETTINGS = "adapter_model.safetensors", "adapter_config.json"
_DESCRIPTIONS = ("pretraining.json", "sltk.json")
"""Files next to an adapter that name its base model, written by `sltk pretrain` and `sltk train`."""
_ADAPTER = "backbone.adapter"


def start_from(
    model: Any,
    adapter: str,
    base: Mapping[str, Any],
    *,
    unmask: masks.MaskText,
    flags: Sequence[bool],
    blocks: int | Literal["all"] = "all",
) -> None:
    """Replace the fresh adapter weights of a peft model by those of a trained adapter.

    Args:
        adapter: a run directory, its `model/` or `adapter/`, or any folder that peft wrote.
        base: the source of the weights of `model`, as in `PackedBackbone.base`.
        unmask: the mask of `model`. One note says so if the adapter learned to predict masked words under another.
        flags: whether each block of `model` is unmasked.
        blocks: the blocks of the base that `model` has; the adapter may be for more of them.

    Raises:
        ModelError: the folder contains no adapter, or one with another base model, other LoRA settings or fewer blocks.
        UsageError: a file of the adapter is damaged.
    """
    folder = _adapter_folder(Path(adapter))
    manifest.verify(folder.parent, below=f"{folder.name}/")
    _check_base(folder, base)
    differing = list(_differences(model.peft_config[_NAME], folder))
    if differing:
        message = f"the adapter in `{folder}` was trained with settings that differ from `lora`"
        raise ModelError(Problem(message, path="backbone.lora", notes=tuple(differing)))
    expected, stored = _shapes(model), _stored_shapes(folder / _WEIGHTS)
    has, needs = _count_blocks(stored), _count_blocks(expected)
    if has < needs:
        note = f"set `blocks: {has}` here too, or train an adapter on all blocks of this model"
        about = f"the adapter in `{folder}` was trained on the first {has} blocks; this model has {needs}"
        raise ModelError(Problem(about, path=_ADAPTER, notes=(note,)))
    unused = frozenset(name for name in stored if blocks != "all" and (block_of(name) or 0) >= blocks)
    if {name: shape for name, shape in stored.items() if name not in unused} != expected:
        raise _other_base(folder, "its weights do not fit the layers of this model")
    _replace_weights(model, folder / _WEIGHTS, unused)
    _note_other_mask(folder, unmask, flags)


def _note_other_mask(folder: Path, unmask: masks.MaskText, flags: Sequence[bool]) -> None:
    """Report that an adapter was trained to predict masked words under another mask, if that is recorded."""
    description = folder.parent / _DESCRIPTIONS[0]
    record = read_json(description) if description.is_file() else {}
    objective, mask = record.get("objective"), record.get("mask")
    if objective not in ("mlm", "mntp") or not isinstance(mask, dict):
        return
    trained = [flag == "1" for flag in str(mask.get("flags", ""))][: len(flags)]
    ours, theirs = _mask_name(unmask, flags), _mask_name(str(mask.get("unmask")), trained)
    if trained and theirs != ours:
        about = f"the adapter in `{folder}` was trained with `{objective}` under the mask `{theirs}`"
        progress.current().note(f"{about}; this run has the mask `{ours}`")


def _mask_name(unmask: masks.MaskText, flags: Sequence[bool]) -> str:
    """A mask as one digit per block; a window in the form of the spec."""
    if masks.window(unmask) is not None:
        return str(unmask)
    return "".join("01"[flag] for flag in flags)


def _count_blocks(names: Iterable[str]) -> int:
    return 1 + max((block_of(name) or 0 for name in names), default=0)


def _adapter_folder(path: Path) -> Path:
    """Find the folder with the weights of an adapter.

    Raises:
        ModelError: `path` contains no adapter.
    """
    for folder in (path, path / "adapter", path / "model" / "adapter"):
        if (folder / _SETTINGS).is_file() and (folder / _WEIGHTS).is_file():
            return folder
    for folder in (path, path / "model"):
        if (folder / "config.json").is_file():
            message, note = f"`{path}` contains a fully trained model", f"start from it with `name: {folder}`"
            raise ModelError(Problem(message, path=_ADAPTER, notes=(note,)))
    note = "expected the directory of a finished run with `lora`"
    raise ModelError(Problem(f"`{path}` contains no adapter", path=_ADAPTER, notes=(note,)))


def _check_base(folder: Path, base: Mapping[str, Any]) -> None:
    """Check that an adapter was trained on the base `base`, if its own base is recorded."""
    description = next((path for name in _DESCRIPTIONS if (path := folder.parent / name).is_file()), None)
    if description is None:
        return
    manifest.verify(folder.parent, below=description.name)
    trained_on = read_json(description).get("base", {})
    if not isinstance(trained_on, dict):
        raise damaged(description, "`base` is not a mapping")
    if not is_same_base(trained_on, base):
        same_name = trained_on.get("name") == base.get("name")
        origin = "other weights" if same_name else f"`{trained_on.get('name')}`"
        raise _other_base(folder, f"it was trained on {origin}, and this model is `{base.get('name')}`")


def _other_base(folder: Path, reason: str) -> ModelError:
    note = (
        "use the base model that the adapter was trained on, or train an adapter on this one: `sltk pretrain`"
    )
    message = f"the adapter in `{folder}` is for another base model: {reason}"
    return ModelError(Problem(message, path=_ADAPTER, notes=(note,)))


def _differences(settings: Any, folder: Path) -> Iterator[str]:
    """Settings in which a saved adapter differs: rank, scale, layers."""
    saved = read_json(folder / _SETTINGS)
    names = saved.get("target_modules")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise damaged(folder / _SETTINGS, "`target_modules` is not a list of names")
    pairs = {
        "r": (saved.get("r"), settings.r),
        "alpha": (saved.get("lora_alpha"), settings.lora_alpha),
        "target_modules": (sorted(names), sorted(settings.target_modules)),
        "rslora": (bool(saved.get("use_rslora")), settings.use_rslora),
        "dora": (bool(saved.get("use_dora")), settings.use_dora),
        "modules_to_save": (
            sorted(saved.get("modules_to_save") or ()),
            sorted(settings.modules_to_save or ()),
        ),
    }
    pairs |= {key: (saved.get(key) or None, None) for key in _PLAIN}
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            yield f"{name}: the adapter has {theirs}, `lora` has {ours}"
