"""Estimate the parameters, memory and download size of a training run, without loading anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .. import masks
from ..components.backbones.pretrained import LoRA, PretrainedBackbone
from ..components.slots import Backbone
from ..families.model_shape import Linear, Shape
from ..families.model_tables import GATED, QUERY_AND_VALUE
from ..spec.experiment import Experiment
from ..spec.trainer_settings import TrainerSpec
from .memory import (
    VECTORS_IN_MEMORY,
    Device,
    TrainedWeights,
    TrainingMemory,
    largest_batch,
    largest_pass,
    number_bytes,
    prompt_subwords,
)
from .model_info import ModelInfo

GIB = 2**30


@dataclass(frozen=True)
class Estimate:
    """Size of a model and cost of training it; None for what is unknown."""

    family: str | None = None
    blocks: int | None = None
    total_blocks: int | None = None
    """The blocks of the whole model, if an early exit leaves some out."""
    mask: str | None = None
    """Ranges of blocks: `0-7 causal, 8-31 unmasked`."""
    parameters: int | None = None
    """Parameters of the backbone, without adapters."""
    trained_parameters: int | None = None
    """Trained parameters of the backbone: its adapters, all of it, or none. Those of the head are not included."""
    memory_gpu_bytes: int | None = None
    memory_gpu_checkpointing_bytes: int | None = None
    """With gradient checkpointing; None unless it is `auto`."""
    memory_cpu_bytes: int | None = None
    """Memory of the whole process, in float32."""
    sharded_gpu_bytes: dict[int, int] | None = None
    """With `sharding: full`: memory of each of so many GPUs, with gradient checkpointing if it is `auto`."""
    download_bytes: int | None = None
    frozen_gpu_bytes: int | None = None
    """Of the vectors of 100,000 words, if those of a frozen backbone are computed once and reused."""
    frozen_cpu_bytes: int | None = None
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
            count = f"{self.blocks} of {self.total_blocks}" if self.total_blocks else str(self.blocks)
            yield "blocks", f"{count}: {self.mask}" if self.mask else count
        if self.parameters is not None:
            yield "parameters", f"{self.parameters:,}"
        if self.trained_parameters is not None and self.share is not None:
            head = ", and the head" if self.has_head else ""
            yield "trained", f"{self.trained_parameters:,} ({self.share:.2%}){head}"
        if self.memory_gpu_bytes is not None and self.memory_cpu_bytes is not None:
            gpu, cpu = size_text(self.memory_gpu_bytes), size_text(self.memory_cpu_bytes)
            less = self.memory_gpu_checkpointing_bytes
            saves = less is not None and size_text(less) != gpu
            saving = f" ({size_text(less or 0)} with gradient checkpointing)" if saves else ""
            yield "memory", f"about {gpu} on a GPU{saving}, {cpu} of main memory on a CPU"
        if self.sharded_gpu_bytes is not None:
            texts = [
                f"{size_text(size)} on each of {count} GPUs" for count, size in self.sharded_gpu_bytes.items()
            ]
            saving = "" if self.memory_gpu_checkpointing_bytes is None else ", with gradient checkpointing"
            yield "sharded", f"about {', '.join(texts)}{saving}"
        if self.frozen_gpu_bytes is not None and self.frozen_cpu_bytes is not None:
            gpu, cpu = size_text(self.frozen_gpu_bytes), size_text(self.frozen_cpu_bytes)
            place = f"in main memory, above {size_text(VECTORS_IN_MEMORY)} in a temporary file in the run directory"
            yield "word vectors", f"about {gpu} per 100,000 words on a GPU, {cpu} on a CPU, {place}"
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
    instruct, prompt = experiment.instruct, 0
    notes: tuple[str, ...] = ()
    if instruct is not None:
        prompt = prompt_subwords(instruct)
        notes = (f"prompts have about {prompt} subwords in addition to the sentence",)
    elif experiment.head.finds_overlaps:
        notes = (
            f"head {experiment.head.type_name}: what it covers and costs depends on the data: see `--data`",
        )
    found = estimate(
        experiment.backbone,
        experiment.trainer,
        lambda sentences: _subwords_read(experiment, sentences) + sentences * prompt,
        language_model=instruct is not None,
        notes=notes,
    )
    return found if found is None or instruct is not None else _with_frozen_vectors(found, experiment)


def _subwords_read(experiment: Experiment, sentences: int) -> int:
    """Subwords in the largest of many batches, in all copies, and with padding if it is attended to."""
    backbone, max_length = experiment.backbone, experiment.max_length
    is_padded = getattr(backbone, "attend_to_padding", False)
    once = sentences * largest_batch(1, max_length) if is_padded else largest_batch(sentences, max_length)
    return once * getattr(backbone, "copies", 1)


def estimate(
    backbone: Backbone,
    trainer: TrainerSpec,
    largest: Callable[[int], int],
    *,
    language_model: bool = False,
    notes: Sequence[str] = (),
) -> Estimate | None:
    """Estimate the training of a backbone; None for custom backbones.

    Args:
        backbone: the model, its mask, LoRA and quantization.
        trainer: batches, optimizer and checkpointing.
        largest: subwords in the largest of many batches with this number of sentences.
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
    trained, checkpointing = _trained(backbone, model), trainer.gradient_checkpointing
    pass_tokens = largest_pass(trainer, largest)

    def memory(device: Device, checkpointing: bool, shards: int = 1) -> int | None:
        training = _memory(backbone, trainer, model, device, language_model, shards)
        return None if training is None else training.peak(pass_tokens, checkpointing=checkpointing)

    counts = () if trainer.sharding == "none" else (2, 4, 8)
    sharded = {count: memory("gpu", checkpointing is not False, count) for count in counts}

    return Estimate(
        family=model.family,
        blocks=model.blocks,
        total_blocks=None if info.total_blocks in (None, model.blocks) else info.total_blocks,
        mask=_mask_text(backbone, model),
        parameters=model.parameters,
        trained_parameters=None if trained is None else sum(group.parameters for group in trained),
        memory_gpu_bytes=memory("gpu", checkpointing is True),
        memory_gpu_checkpointing_bytes=memory("gpu", True) if checkpointing == "auto" and trained else None,
        memory_cpu_bytes=memory("cpu", checkpointing is True),
        sharded_gpu_bytes={count: size for count, size in sharded.items() if size is not None} or None,
        download_bytes=info.download_bytes,
        has_head=not language_model,
        notes=tuple(notes),
    )


def _with_frozen_vectors(found: Estimate, experiment: Experiment) -> Estimate:
    """Add the size of the vectors of a frozen backbone, if they are reused in further epochs."""
    backbone, trainer = experiment.backbone, experiment.trainer
    if not isinstance(backbone, PretrainedBackbone) or found.trained_parameters != 0:
        return found
    if backbone.attend_to_padding:  # vectors depend on the batch
        return found
    model = ModelInfo.of(backbone).shape
    is_repeated = trainer.max_steps is not None or trainer.epochs > 1
    if model is None or "hidden" not in model.sizes or not (trainer.reuse_frozen and is_repeated):
        return found

    def size(device: Device) -> int:
        is_exact = device == "cpu" or trainer.precision == "fp32"  # under autocast, vectors are float32
        number = number_bytes(backbone, device, trainer.precision) if is_exact else 4
        return 100_000 * model.sizes["hidden"] * number

    return replace(found, frozen_gpu_bytes=size("gpu"), frozen_cpu_bytes=size("cpu"))


def training_memory(
    backbone: Backbone, trainer: TrainerSpec, device: Device, *, language_model: bool, shards: int = 1
) -> TrainingMemory | None:
    """The memory of training a backbone; None for a custom backbone, or a model of unknown size.

    Raises:
        ModelError: the model's files on this machine are damaged.
    """
    model = ModelInfo.of(backbone).shape if isinstance(backbone, PretrainedBackbone) else None
    if model is None:
        return None
    assert isinstance(backbone, PretrainedBackbone)
    return _memory(backbone, trainer, model, device, language_model, shards)


def _memory(
    backbone: PretrainedBackbone,
    trainer: TrainerSpec,
    model: Shape,
    device: Device,
    language_model: bool,
    shards: int,
) -> TrainingMemory | None:
    trained = _trained(backbone, model)
    if trained is None or not model.sizes:
        return None
    return TrainingMemory(model, backbone, trainer, trained, device, language_model, shards)


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
            layer.count * (lora.r * (layer.inputs + layer.outputs) + layer.outputs * lora.dora),
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
    return [layer for target in targets for layer in model.targeted(target)]


def _mask_text(backbone: PretrainedBackbone, model: Shape) -> str | None:
    try:
        return masks.group_text(backbone.unmask, model.blocks)
    except masks.MaskError:
        return None
