"""What a run would take: parameters, memory, download, said without loading anything.

The model's shape comes from the spec, from a directory or the hub's cache on this machine (config.json,
safetensors headers), or from the table of known models. Imports neither torch nor transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .. import masking
from ..backbones.pretrained import LoRA, PretrainedBackbone, TrainedTokenizer
from ..config import InvalidSpecError, Loaded
from ..errors import Problem, nearest
from ..spec import Experiment
from . import model_files
from .families import Linear, Shape, ends_with, misfits, shape
from .family_table import FAMILIES, QUERY_AND_VALUE, REFUSED
from .known_models import GATED, known_config
from .memory import DTYPE_BYTES, Trained, prompt_subwords, training_bytes

GIB = 2**30


@dataclass(frozen=True)
class Estimate:
    """What is known of a model and its training; None where it is not."""

    family: str | None = None
    blocks: int | None = None
    mask: str | None = None
    """The blocks in words: `0-7 causal, 8-31 unmasked`."""
    parameters: int | None = None
    """Of the backbone, adapters not counted."""
    trained_parameters: int | None = None
    """Of the backbone: its adapters, or all of it, or none. The head's come on top."""
    memory_gpu_bytes: int | None = None
    memory_cpu_bytes: int | None = None
    """Of the whole process, in float32."""
    download_bytes: int | None = None
    has_head: bool = True
    """Whether a head is trained too."""
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """Trained parameters as a share of all, adapters counted with both."""
        if self.parameters is None or self.trained_parameters is None:
            return None
        added = 0 if self.trained_parameters == self.parameters else self.trained_parameters
        return self.trained_parameters / (self.parameters + added)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Label and text of each thing that is known."""
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
            yield "download", _download_text(self.download_bytes)
        for note in self.notes:
            yield "note", note

    def as_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {**asdict(self), "notes": list(self.notes), "share": self.share}


def size_text(size: float) -> str:
    """Bytes in GiB, or in MiB where they are few."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"


def _download_text(size: int) -> str:
    return (
        f"about {size_text(size)}" if size else "nothing: the model is on this machine, or made on the spot"
    )


def estimate(experiment: Experiment, block_tokens: int | None = None) -> Estimate | None:
    """What the run would take; None where the backbone is of a kind of one's own.

    Args:
        experiment: the spec; for language modelling its backbone and trainer.
        block_tokens: tokens of a batch in language modelling; None for labelling.

    Raises:
        ModelError: the model's files on this machine are damaged.
    """
    backbone = experiment.backbone
    if not isinstance(backbone, PretrainedBackbone):
        return None
    source = Source.of(backbone)
    notes = list(source.notes)
    if experiment.instruct is not None:
        notes.append(
            f"prompts have about {prompt_subwords(experiment.instruct)} subwords beside the sentence"
        )
    if source.name and source.name.startswith(GATED) and source.download is not None and source.download > 0:
        notes.append(f"accept the licence at huggingface.co/{source.name}, then `hf auth login`")
    if source.shape is None:
        return Estimate(source.family, download_bytes=source.download, notes=tuple(notes))
    found = source.shape
    trained = _trained(backbone, found)
    memory: dict[Literal["gpu", "cpu"], int | None] = {"gpu": None, "cpu": None}
    if trained is not None and found.sizes:
        memory = {
            place: training_bytes(found, experiment, trained, place, block_tokens)  # type: ignore[misc]
            for place in ("gpu", "cpu")
        }
    return Estimate(
        family=found.family,
        blocks=found.blocks,
        mask=_mask_text(backbone, found),
        parameters=found.parameters,
        trained_parameters=None if trained is None else sum(layer.parameters for layer in trained),
        memory_gpu_bytes=memory["gpu"],
        memory_cpu_bytes=memory["cpu"],
        download_bytes=source.download,
        has_head=experiment.instruct is None and block_tokens is None,
        notes=tuple(notes),
    )


def check_model(loaded: Loaded[Experiment]) -> None:
    """See that mask and LoRA targets fit the model, as far as its shape is known.

    Raises:
        InvalidSpecError: they do not; every problem at its place in the spec.
        ModelError: the model's files on this machine are damaged.
    """
    backbone = loaded.experiment.backbone
    if not isinstance(backbone, PretrainedBackbone):
        return
    source = Source.of(backbone)
    problems = [
        loaded.problem(
            found.path or "backbone", found.message, suggestion=found.suggestion, notes=found.notes
        )
        for found in _problems(backbone, source)
    ]
    if problems:
        raise InvalidSpecError(problems)


def _problems(backbone: PretrainedBackbone, source: Source) -> Iterator[Problem]:
    place = "backbone.name" if backbone.name else "backbone.config.model_type"
    if source.family in REFUSED:
        yield Problem(
            f"the family `{source.family}` cannot be unmasked: its attention cannot be replaced",
            path=place,
            notes=("families that can: docs/reference/families.md",),
        )
        return
    family = FAMILIES.get(source.family or "")
    if family is not None and not family.maskable and backbone.unmask != "all":
        about = f"the family `{source.family}` brings its own attention: it runs with `unmask: all` only"
        yield Problem(about, path="backbone.unmask")
    if backbone.config is not None:
        for key, about in misfits(source.config):
            if key in backbone.config:
                yield Problem(about, path=f"backbone.config.{key}")
    if source.shape is None:
        return
    try:
        masking.flags(backbone.unmask, source.shape.blocks)
    except masking.MaskError as error:
        yield Problem(str(error), path="backbone.unmask")
    if backbone.lora is not None and source.shape.linear:
        yield from _target_problems(backbone.lora, source.shape)


def _target_problems(lora: LoRA, found: Shape) -> Iterator[Problem]:
    if not isinstance(lora.target_modules, list):
        return
    names = sorted({layer.name for layer in found.linear})
    for number, target in enumerate(lora.target_modules):
        if not _targeted(found, target):
            yield Problem(
                f"the model has no linear layer `{target}`",
                path=f"backbone.lora.target_modules.{number}",
                suggestion=nearest(target, names),
                notes=(f"linear layers: {', '.join(names)}",),
            )


def _targeted(found: Shape, target: str) -> list[Linear]:
    """The layers that a LoRA target names; block numbers in it are not looked at."""
    target = re.sub(r"^(?:.*\.)?[0-9]+\.", "", target)
    return [layer for layer in found.linear if ends_with(layer.path, target)]


def _trained(backbone: PretrainedBackbone, found: Shape) -> list[Trained] | None:
    """What is trained of the backbone; None where it cannot be said."""
    lora = backbone.lora
    if lora is None:
        if backbone.freeze:
            return []
        embedding = found.sizes.get("vocabulary", 0) * found.sizes.get("embedding", 0)
        return [Trained(found.parameters, largest=embedding)]
    if not found.linear:
        return None
    layers = {layer.path: layer for layer in _adapted(found, lora)}
    return [
        Trained(
            layer.count * lora.r * (layer.inputs + layer.outputs),
            layer.inputs, lora.r, layer.count, lora.r * max(layer.inputs, layer.outputs),
        )
        for layer in layers.values()
    ]  # fmt: skip


def _adapted(found: Shape, lora: LoRA) -> list[Linear]:
    if lora.target_modules == "all-linear":
        return list(found.linear)
    names = {layer.name for layer in found.linear}
    usual = next((pair for pair in QUERY_AND_VALUE if names.issuperset(pair)), ())
    targets = usual if lora.target_modules is None else lora.target_modules
    return [layer for target in targets for layer in _targeted(found, target)]


def _mask_text(backbone: PretrainedBackbone, found: Shape) -> str | None:
    try:
        return masking.group_text(backbone.unmask, found.blocks)
    except masking.MaskError:
        return None


@dataclass(frozen=True)
class Source:
    """Where the shape of a model is known from."""

    name: str | None
    family: str | None
    shape: Shape | None
    download: int | None
    """Bytes to fetch; None where that is not known."""
    notes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, backbone: PretrainedBackbone) -> Source:
        """What this machine and the tables know of a backbone's model."""
        if backbone.gguf_file:
            return cls(backbone.name, None, None, None, ("the shape of a GGUF file is not looked at here",))
        name = backbone.name
        folder = model_files.find(name, backbone.revision) if name else None
        config = model_files.read_config(folder) if folder else known_config(name) if name else {}
        if config is None:
            return cls(
                name, None, None, 0 if folder else None, (_unknown_model(name or "", folder is not None),)
            )
        if backbone.init == "random":
            config = _vocabulary_of(backbone) | config | (backbone.config or {})
        family = str(config.get("model_type"))
        found = shape(config)
        notes: tuple[str, ...] = ()
        if found is None and folder is not None:
            found = shape_of_headers(config, model_files.read_headers(folder))
        if found is None and family not in REFUSED:
            notes = (_unknown_shape(family),)
        download = _download(backbone, config, found, folder is not None)
        return cls(name, family, found, download, notes, config)


def _vocabulary_of(backbone: PretrainedBackbone) -> dict[str, Any]:
    tokenizer = backbone.tokenizer
    return {"vocab_size": tokenizer.vocab_size} if isinstance(tokenizer, TrainedTokenizer) else {}


def _download(
    backbone: PretrainedBackbone, config: dict[str, Any], found: Shape | None, here: bool
) -> int | None:
    """Published weights hold the output embedding of the language model too, where it is not the input's."""
    if here or backbone.init == "random":
        return 0
    if found is None or "stored" not in config:
        return None
    output = 0 if found.tied else found.sizes["vocabulary"] * found.sizes["hidden"]
    return (found.parameters + output) * DTYPE_BYTES[config["stored"]]


def _unknown_model(name: str, here: bool) -> str:
    if here:
        return f"`{name}` holds no config.json: its size is not known"
    if name.startswith(("/", ".", "~")):
        return f"there is no directory `{name}` here: the size of its model is not known"
    return f"the size of `{name}` is not known here: it is in no cache of this machine and not in the built-in table"


def _unknown_shape(family: str) -> str:
    if family in FAMILIES:
        return f"the config lacks sizes of its `{family}` model: parameters and memory are not known"
    return f"the family `{family}` is not in the built-in table: parameters and memory are not known"


def shape_of_headers(config: dict[str, Any], headers: model_files.Headers) -> Shape | None:
    """The shape of a model of a family that is in no table, from the tensors of its files.

    Sizes stay unknown, and with them the memory; parameters, blocks and the names of linear layers are not.
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
    linear = tuple(Linear(path, sizes[path][1], sizes[path][0], len(found)) for path, found in blocks.items())
    return Shape(
        str(config.get("model_type")), int(count), model_files.parameters(headers), linear, {}, tied=True
    )
