"""What a run needs: parameters, memory and download size, without loading anything.

The model's shape comes from the spec, from a directory or the hub's cache on this machine (config.json, headers of
safetensors files), or from the table of known models. Imports neither torch nor transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import masks
from ..components.backbones.pretrained import LoRA, PretrainedBackbone, TrainedTokenizer
from ..components.slots import Backbone
from ..errors import Problem, nearest
from ..families import model_files
from ..families.model_tables import FAMILIES, GATED, QUERY_AND_VALUE, REFUSED, known_config
from ..families.shape import Linear, Shape, ends_with, misfits, shape
from ..spec.experiment import Experiment, TrainerSpec
from ..spec.loading import InvalidSpecError
from .memory import DTYPE_BYTES, TrainedWeights, TrainingMemory, largest_batch, prompt_subwords

GIB = 2**30


@dataclass(frozen=True)
class Estimate:
    """Size of a model and cost of training it; None for what is unknown."""

    family: str | None = None
    blocks: int | None = None
    mask: str | None = None
    """Ranges of blocks: `0-7 causal, 8-31 unmasked`."""
    parameters: int | None = None
    """Parameters of the backbone, without adapters."""
    trained_parameters: int | None = None
    """Trained parameters of the backbone: its adapters, all of it, or none. Those of the head are not included."""
    memory_gpu_bytes: int | None = None
    memory_cpu_bytes: int | None = None
    """Memory of the whole process, in float32."""
    download_bytes: int | None = None
    has_head: bool = True
    """Whether a head is trained too."""
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """Trained parameters as a share of all parameters; adapters count in both."""
        if self.parameters is None or self.trained_parameters is None:
            return None
        adapters = 0 if self.trained_parameters == self.parameters else self.trained_parameters
        return self.trained_parameters / (self.parameters + adapters)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Label and text of each known value."""
        if self.blocks is not None:
            yield "blocks", f"{self.blocks}: {self.mask}" if self.mask else str(self.blocks)
        if self.parameters is not None:
            yield "parameters", f"{self.parameters:,}"
        if self.trained_parameters is not None and self.share is not None:
            head = ", and the head" if self.has_head else ""
            yield "trained", f"{self.trained_parameters:,} ({self.share:.2%}){head}"
        if self.memory_gpu_bytes is not None and self.memory_cpu_bytes is not None:
            gpu, cpu = size_text(self.memory_gpu_bytes), size_text(self.memory_cpu_bytes)
            yield "memory", f"about {gpu} on a GPU, {cpu} of main memory on a CPU"
        if self.download_bytes is not None:
            size = size_text(self.download_bytes)
            local = "nothing: the model is on this machine, or built from its config"
            yield "download", f"about {size}" if self.download_bytes else local
        for note in self.notes:
            yield "note", note

    def as_json(self) -> dict[str, Any]:
        """All values, JSON-ready."""
        return {**asdict(self), "notes": list(self.notes), "share": self.share}


def size_text(size: float) -> str:
    """Bytes in GiB, or in MiB below 1 GiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"


def estimate_run(experiment: Experiment) -> Estimate | None:
    """Estimate a labelling run; None for custom backbones.

    Raises:
        ModelError: the model's files on this machine are damaged.
    """
    trainer, instruct = experiment.trainer, experiment.instruct
    batch_tokens = largest_batch(trainer.batch_size, experiment.max_length)
    if instruct is None:
        return estimate(experiment.backbone, trainer, batch_tokens)
    prompt = prompt_subwords(instruct)
    return estimate(
        experiment.backbone,
        trainer,
        batch_tokens + trainer.batch_size * prompt,
        language_model=True,
        notes=(f"prompts have about {prompt} subwords in addition to the sentence",),
    )


def estimate(
    backbone: Backbone,
    trainer: TrainerSpec,
    batch_tokens: int,
    *,
    language_model: bool = False,
    notes: Sequence[str] = (),
) -> Estimate | None:
    """Estimate the training of a backbone; None for custom backbones.

    Args:
        backbone: the model, its mask, LoRA and quantization.
        trainer: batches, optimizer and checkpointing.
        batch_tokens: subwords in the largest batch.
        language_model: whether tokens are predicted, by the model's own output layer, instead of tags by a head.
        notes: further notes for the estimate.

    Raises:
        ModelError: the model's files on this machine are damaged.
    """
    if not isinstance(backbone, PretrainedBackbone):
        return None
    info = ModelInfo.of(backbone)
    notes = [*info.notes, *notes]
    if info.name and info.name.startswith(GATED) and info.download_bytes:
        notes.append(f"accept the licence at huggingface.co/{info.name}, then run `hf auth login`")
    model = info.shape
    if model is None:
        return Estimate(info.family, download_bytes=info.download_bytes, notes=tuple(notes))
    trained = _trained(backbone, model)

    def memory(device: Literal["gpu", "cpu"]) -> int | None:
        if trained is None or not model.sizes:
            return None
        training = TrainingMemory(model, backbone, trainer, trained, device)
        return training.peak(batch_tokens, language_model=language_model)

    return Estimate(
        family=model.family,
        blocks=model.blocks,
        mask=_mask_text(backbone, model),
        parameters=model.parameters,
        trained_parameters=None if trained is None else sum(group.parameters for group in trained),
        memory_gpu_bytes=memory("gpu"),
        memory_cpu_bytes=memory("cpu"),
        download_bytes=info.download_bytes,
        has_head=not language_model,
        notes=tuple(notes),
    )


def check_model(backbone: Backbone) -> None:
    """Check that mask and LoRA targets fit the model, as far as its shape is known.

    Problems carry the path of their key in the spec: call this inside `Loaded.placing`.

    Raises:
        InvalidSpecError: they do not fit; `problems` holds every problem.
        ModelError: the model's files on this machine are damaged.
    """
    if not isinstance(backbone, PretrainedBackbone):
        return
    problems = list(_problems(backbone, ModelInfo.of(backbone)))
    if problems:
        raise InvalidSpecError(problems)


def _problems(backbone: PretrainedBackbone, info: ModelInfo) -> Iterator[Problem]:
    if info.family in REFUSED:
        yield Problem(
            f"the family `{info.family}` cannot be unmasked: its attention cannot be replaced",
            path="backbone.name" if backbone.name else "backbone.config.model_type",
            notes=("supported families: docs/reference/families.md",),
        )
        return
    family = FAMILIES.get(info.family or "")
    if family is not None and not family.maskable and backbone.unmask != "all":
        about = f"the family `{info.family}` has its own attention code: it runs with `unmask: all` only"
        yield Problem(about, path="backbone.unmask")
    if backbone.config is not None:
        for key, about in misfits(info.config):
            if key in backbone.config:
                yield Problem(about, path=f"backbone.config.{key}")
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
        if not _targeted(model, target):
            yield Problem(
                f"the model has no linear layer `{target}`",
                path=f"backbone.lora.target_modules.{number}",
                suggestion=nearest(target, names),
                notes=(f"linear layers: {', '.join(names)}",),
            )


def _targeted(model: Shape, target: str) -> list[Linear]:
    """The layers that a LoRA target names; block numbers in the target are ignored."""
    target = re.sub(r"^(?:.*\.)?[0-9]+\.", "", target)
    return [layer for layer in model.linear if ends_with(layer.path, target)]


def _trained(backbone: PretrainedBackbone, model: Shape) -> list[TrainedWeights] | None:
    """The trained weights of the backbone; None if the linear layers are unknown."""
    lora = backbone.lora
    if lora is None:
        if backbone.freeze:
            return []
        embedding = model.sizes.get("vocabulary", 0) * model.sizes.get("embedding", 0)
        return [TrainedWeights(model.parameters, largest=embedding)]
    if not model.linear:
        return None
    layers = {layer.path: layer for layer in _adapted(model, lora)}
    return [
        TrainedWeights(
            layer.count * lora.r * (layer.inputs + layer.outputs),
            layer.inputs, lora.r, layer.count, lora.r * max(layer.inputs, layer.outputs),
        )
        for layer in layers.values()
    ]  # fmt: skip


def _adapted(model: Shape, lora: LoRA) -> list[Linear]:
    if lora.target_modules == "all-linear":
        return list(model.linear)
    names = {layer.name for layer in model.linear}
    usual = next((pair for pair in QUERY_AND_VALUE if names.issuperset(pair)), ())
    targets = usual if lora.target_modules is None else lora.target_modules
    return [layer for target in targets for layer in _targeted(model, target)]


def _mask_text(backbone: PretrainedBackbone, model: Shape) -> str | None:
    try:
        return masks.group_text(backbone.unmask, model.blocks)
    except masks.MaskError:
        return None


@dataclass(frozen=True)
class ModelInfo:
    """What this machine and the built-in tables know of a pretrained model."""

    name: str | None
    family: str | None = None
    shape: Shape | None = None
    download_bytes: int | None = None
    """None if unknown."""
    notes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, backbone: PretrainedBackbone) -> ModelInfo:
        """Look up the model of a backbone.

        Raises:
            ModelError: the model's files on this machine are damaged.
        """
        name = backbone.name
        if backbone.gguf_file:
            return cls(name, notes=("the shape of a GGUF file is read when it is loaded",))
        folder = model_files.find(name, backbone.revision) if name else None
        config = model_files.read_config(folder) if folder else known_config(name) if name else {}
        if config is None:
            return cls(name, download_bytes=0 if folder else None, notes=(_unknown_model(name, folder),))
        if backbone.init == "random":
            config = _vocabulary(backbone) | config | (backbone.config or {})
        family = str(config.get("model_type"))
        model = shape(config)
        notes: tuple[str, ...] = ()
        if model is None and folder is not None:
            model = shape_of_headers(config, model_files.read_headers(folder))
        if model is None and family not in REFUSED:
            notes = (_unknown_shape(family),)
        is_local = folder is not None or backbone.init == "random"
        download = 0 if is_local else _published_bytes(config, model)
        return cls(name, family, model, download, notes, config)


def _vocabulary(backbone: PretrainedBackbone) -> dict[str, Any]:
    tokenizer = backbone.tokenizer
    return {"vocab_size": tokenizer.vocab_size} if isinstance(tokenizer, TrainedTokenizer) else {}


def _published_bytes(config: dict[str, Any], model: Shape | None) -> int | None:
    """Size of the published weights, which include the output embedding unless it is tied to the input embedding."""
    if model is None or "stored" not in config:
        return None
    output = 0 if model.tied else model.sizes["vocabulary"] * model.sizes["hidden"]
    return (model.parameters + output) * DTYPE_BYTES[config["stored"]]


def _unknown_model(name: str | None, folder: Path | None) -> str:
    if folder is not None:
        return f"`{name}` has no config.json: the size of the model is unknown"
    if name is not None and name.startswith(("/", ".", "~")):
        return f"the directory `{name}` does not exist here: the size of its model is unknown"
    return (
        f"the size of `{name}` is not known here: it is neither in the hub's cache nor in the built-in table"
    )


def _unknown_shape(family: str) -> str:
    if family in FAMILIES:
        return f"the config lacks sizes of its `{family}` model: parameters and memory are unknown"
    return f"the family `{family}` is not in the built-in table: parameters and memory are unknown"


def shape_of_headers(config: dict[str, Any], headers: model_files.Headers) -> Shape | None:
    """The shape of a model whose family is in no table, from the headers of its safetensors files.

    Gives parameters, blocks and the names of linear layers. Sizes stay unknown, and therefore memory.
    """
    pattern = re.compile(r"(?:^|.*?\.)([0-9]+)\.(.+)\.weight")
    blocks: dict[str, set[int]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    for name, (_, dimensions) in headers.items():
        match = pattern.fullmatch(name)
        if match and len(dimensions) == 2:
            blocks.setdefault(match[2], set()).add(int(match[1]))
            sizes[match[2]] = dimensions
    count = config.get("num_hidden_layers") or len(set().union(*blocks.values()))
    if not headers or not count:
        return None
    linear = tuple(Linear(path, sizes[path][1], sizes[path][0], len(own)) for path, own in blocks.items())
    return Shape(
        str(config.get("model_type")), int(count), model_files.parameters(headers), linear, {}, tied=True
    )
