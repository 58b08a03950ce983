"""Check that a spec fits its model, as far as the shape of the model is known without loading it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .. import masks
from ..components.aligners.subword import shift_of
from ..components.backbones import copy_limits
from ..components.backbones.pretrained import LoRA, PretrainedBackbone
from ..components.slots import Backbone
from ..errors import InvalidSpecError, ModelError, Problem, nearest
from ..families.gguf_header import read_gguf
from ..families.model_shape import Shape, invalid_sizes
from ..families.model_tables import FAMILIES, REFUSED, refusal
from ..families.position_limit import position_limit
from ..files.paths import expanded
from ..spec.experiment import Experiment, RunSpec
from .model_info import ModelInfo


def check_model(backbone: Backbone) -> None:
    """Check that mask and LoRA targets fit the model, as far as its shape is known.

    Problems carry the path of their key in the spec: call this inside `Loaded.locate_errors`.

    Raises:
        InvalidSpecError: the mask or a LoRA target does not fit; `problems` lists all errors.
        ModelError: the model's files on this machine are damaged.
    """
    if not isinstance(backbone, PretrainedBackbone):
        return
    gguf = _gguf_problem(backbone)
    problems = [gguf] if gguf is not None else list(_problems(backbone, ModelInfo.of(backbone)))
    if problems:
        raise InvalidSpecError(problems)


def half_precision_warning(backbone: Backbone) -> Problem | None:
    """The problem that all weights are trained in half precision, or None."""
    if not _trains_half(backbone):
        return None
    assert isinstance(backbone, PretrainedBackbone)
    bits = {"bfloat16": 8, "float16": 11}[backbone.dtype]
    about = (
        f"all weights are trained in {backbone.dtype}: an update is lost where it is smaller than about 1/{2**bits} of "
        "its weight"
    )
    note = "leave out `dtype`: weights are then float32, and `trainer.precision` sets the format of their products"
    return Problem(about, path="backbone.dtype", notes=(note,))


def unseen_words(spec: Experiment) -> Problem | None:
    """The problem that words are read before the model has seen them, or None."""
    backbone = spec.backbone
    if not shift_of(spec.aligner) or not isinstance(backbone, PretrainedBackbone):
        return None
    if backbone.repeat or not masks.is_causal(backbone.unmask):
        return None
    about = "`shift: -1` reads the vector before a word, which in causal blocks has not seen the word"
    note = "unmask some blocks, or set `backbone.repeat: 1`; or leave out `shift`"
    return Problem(about, path="aligner.shift", notes=(note,))


def study_only(backbone: Backbone) -> Problem | None:
    """The problem that a run on its own has a setting for comparisons, or None."""
    if not getattr(backbone, "attend_to_padding", False):
        return None
    about = "`attend_to_padding` is a flaw to measure in a sweep: its predictions depend on the padding of a batch"
    note = "leave it out; or put it in `sweep:`, beside a run without it"
    return Problem(about, path="backbone.attend_to_padding", notes=(note,))


def unscalable(spec: RunSpec) -> Problem | None:
    """The problem that float16 weights cannot be trained with a scaled loss, or None."""
    backbone = spec.backbone
    if spec.trainer.precision != "fp16" or not _trains_half(backbone):
        return None
    about = "weights of 16 bits cannot be trained with `precision: fp16`, which scales their gradients"
    note = "leave out `dtype`: weights are then float32, and products float16"
    return Problem(about, path="backbone.dtype", notes=(note,))


def overlong(spec: RunSpec) -> Problem | None:
    """The problem that `max_length` and the copies of `repeat` exceed the positions of the model, or None."""
    backbone, max_length = spec.backbone, getattr(spec, "max_length", None)
    if not isinstance(backbone, PretrainedBackbone):
        return None
    positions = position_limit(ModelInfo.of(backbone).config)
    return copy_limits.excess(max_length, backbone.repeat, positions)


def _trains_half(backbone: Backbone) -> bool:
    """Whether all weights are trained, in bfloat16 or float16."""
    if not isinstance(backbone, PretrainedBackbone):
        return False
    return backbone.trains_all_weights and backbone.dtype in ("bfloat16", "float16")


def missing_model(backbone: Backbone) -> Problem | None:
    """The problem that the directory of the model does not exist, or None."""
    name = backbone.name if isinstance(backbone, PretrainedBackbone) else None
    if name is None or not name.startswith(("/", ".", "~")) or expanded(name).is_dir():
        return None
    return Problem(f"there is no model directory `{name}`", path="backbone.name")


def _gguf_problem(backbone: PretrainedBackbone) -> Problem | None:
    """The problem that the GGUF file is not in the directory of the model, or damaged; or None."""
    file, name = backbone.gguf_file, backbone.name
    if file is None or name is None or not Path(name).is_dir():
        return None
    path = "backbone.gguf_file" if "gguf_file" in backbone.model_fields_set else "backbone.name"
    if (Path(name) / file).is_file():
        try:
            read_gguf(Path(name) / file)
        except ModelError as error:  # to be reported with the other problems of the spec
            return replace(error.problems[0], path=path)
        return None
    known = sorted(path.name for path in Path(name).glob("*.gguf"))
    return Problem(
        f"there is no file `{file}` in the model directory `{name}`",
        path=path,
        suggestion=nearest(Path(file).name, known),
        notes=(f"GGUF files there: {', '.join(known) or 'none'}; the path starts from `name`",),
    )


def _problems(backbone: PretrainedBackbone, info: ModelInfo) -> Iterator[Problem]:
    if info.family is not None and info.family in REFUSED:
        yield refusal(info.family, "backbone.name" if backbone.name else "backbone.config.model_type")
        return
    family = FAMILIES.get(info.family or "")
    if family is not None and not family.maskable and backbone.unmask != "all":
        about = f"the family `{info.family}` has its own attention code: it runs with `unmask: all` only"
        yield Problem(about, path="backbone.unmask")
    if backbone.config is not None:
        for key, about in invalid_sizes(info.config):
            if key in backbone.config:
                yield Problem(about, path=f"backbone.config.{key}")
    if backbone.blocks != "all" and info.total_blocks is not None and backbone.blocks > info.total_blocks:
        about = f"`blocks: {backbone.blocks}` asks for {backbone.blocks} blocks; the model has {info.total_blocks}"
        yield Problem(about, path="backbone.blocks")
        return
    too_short = copy_limits.shortage(backbone.repeat, position_limit(info.config))
    if too_short is not None:
        yield too_short
    if info.shape is None:
        return
    try:
        masks.flags(backbone.unmask, info.shape.blocks)
    except masks.MaskError as error:
        yield Problem(str(error), path="backbone.unmask")
    if backbone.lora is not None and info.shape.linear:
        yield from _target_problems(backbone.lora, info.shape)


def _target_problems(lora: LoRA, model: Shape) -> Iterator[Problem]:
    if not isinstance(lora.target_modules, list):
        return
    names = sorted({layer.name for layer in model.linear})
    for number, target in enumerate(lora.target_modules):
        if not model.targeted(target):
            yield Problem(
                f"the model has no linear layer `{target}`",
                path=f"backbone.lora.target_modules.{number}",
                suggestion=nearest(target, names),
                notes=(f"linear layers: {', '.join(names)}",),
            )
