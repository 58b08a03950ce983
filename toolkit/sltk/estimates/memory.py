"""How much memory training takes, in closed form.

What is held all the time: the process (on a CPU), the weights in their dtype or in a few bits, trained weights'
averages of the optimizer. While an update is computed, besides: a gradient a trained weight, what the forward
pass keeps for the backward pass (activations), the optimizer's temporary copies. The largest batch counts.

Measured on a CPU (peak of the process, batches of 16 restaurant reviews, one epoch) beside this estimate: a 135M
Llama with LoRA of rank 64 on q and v, 1.78 GB and 1.75 GB; a 22.7M MiniLM trained whole, 1.12 GB and 1.11 GB. Not
counted: what a GPU's driver takes for itself (about half a GiB).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from ..backbones.pretrained import PretrainedBackbone, Quantization
from ..instruct.prompt import Prompter
from ..instruct.settings import InstructSpec
from ..spec import Experiment, TrainerSpec
from .families import Shape
from .family_table import FAMILIES

Place = Literal["gpu", "cpu"]

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

PROCESS_BYTES = 620_000_000
"""Python, torch, transformers and data of a small run: the measured peak of a run of a 0.5M model."""
SENTENCE_MEAN, SENTENCE_SPREAD = 24, 14
"""Subwords of a sentence of news or reviews; CoNLL-2003 has 23 on the average."""
RESPONSE_MEAN = 8
"""Subwords of a response: one span or two."""
_LETTERS = 4
_SCORED = 1024
"""Tokens for which a language model holds scores at once."""
_BLOCK, _DOUBLE_BLOCK = 64, 256
"""bitsandbytes keeps a constant for 64 weights, and for 256 of these constants one of a second level."""


@dataclass(frozen=True)
class Trained:
    """Some weights that are trained, and the sizes of the layers they belong to."""

    parameters: int
    inputs: int = 0
    rank: int = 0
    count: int = 1
    largest: int = 0
    """Numbers in the largest tensor of them."""


def training_bytes(
    shape: Shape,
    experiment: Experiment,
    trained: Sequence[Trained],
    place: Place,
    block_tokens: int | None = None,
) -> int:
    """Peak memory of training: on a GPU as torch counts its allocations, on a CPU of the whole process.

    Sentences are packed without padding, so a batch of B sentences has about B · 24 subwords, and the largest of
    many about B · 24 + 3 · 14 · √B. In language modelling a batch has `block_tokens`, and scores for each.
    """
    backbone = experiment.backbone
    assert isinstance(backbone, PretrainedBackbone)
    trainer = experiment.trainer
    held = weights_bytes(shape, backbone, place) + _optimizer_bytes(trained, trainer, backbone, place)
    tokens = block_tokens or largest_batch(trainer.batch_size, experiment.max_length)
    if experiment.instruct is not None:
        tokens += trainer.batch_size * prompt_subwords(experiment.instruct)
    kept = tokens * _activation_bytes(shape, backbone, trained, trainer, place)
    gradients = 4 * sum(part.parameters for part in trained)
    passing = kept + gradients + _temporary_bytes(shape, backbone, trained, trainer, place)
    if experiment.instruct is not None or block_tokens is not None:
        passing += _score_bytes(shape, tokens)
    scoring = trainer.eval_batch_tokens * _forward_width(shape) * _bytes_a_number(backbone, place)
    return round(held + max(passing, scoring) + (PROCESS_BYTES if place == "cpu" else 0))


def prompt_subwords(spec: InstructSpec) -> int:
    """Subwords of a prompt and its response, beside those of the sentence: a subword has about four letters."""
    text = Prompter(spec).prompt([])
    return round(len(text) / _LETTERS) + RESPONSE_MEAN + spec.shots * (SENTENCE_MEAN + RESPONSE_MEAN)


def _score_bytes(shape: Shape, tokens: int) -> float:
    """Scores of the vocabulary, their softmax and its gradient, in float32, for the tokens that are held at once."""
    return 3 * 4 * min(tokens, _SCORED) * shape.sizes.get("vocabulary", 0)


def largest_batch(sentences: int, max_length: int | None) -> int:
    """Subwords of the largest batch of a run."""
    tokens = sentences * SENTENCE_MEAN + 3 * SENTENCE_SPREAD * sqrt(sentences)
    return round(min(tokens, sentences * (max_length or tokens)))


def weights_bytes(shape: Shape, backbone: PretrainedBackbone, place: Place) -> float:
    """The backbone's weights: linear layers in a few bits where they are quantized, the rest in its dtype."""
    quantized = 0
    if backbone.quantization is not None:
        quantized = sum(layer.count * layer.inputs * layer.outputs for layer in shape.linear)
    rest = shape.parameters - quantized
    per_weight = _quantized_bytes(backbone.quantization) if backbone.quantization is not None else 0.0
    return quantized * per_weight + rest * _bytes_a_number(backbone, place)


def _quantized_bytes(quantization: Quantization) -> float:
    """Bytes a quantized weight, its share of the constants included."""
    if quantization.type == "int8":
        return 1.0
    constants = (1 + 4 / _DOUBLE_BLOCK) / _BLOCK if quantization.double else 4 / _BLOCK
    return 0.5 + constants


def _bytes_a_number(backbone: PretrainedBackbone, place: Place) -> int:
    """Of weights and activations: as asked; `auto` is float32 on a CPU and where all weights are trained."""
    if backbone.dtype != "auto":
        return DTYPE_BYTES[backbone.dtype]
    if place == "cpu" or backbone.is_trained_whole:
        return 4
    asked = backbone.quantization.compute_dtype if backbone.quantization is not None else "auto"
    return DTYPE_BYTES.get(asked, 2)


def _optimizer_bytes(
    trained: Sequence[Trained], trainer: TrainerSpec, backbone: PretrainedBackbone, place: Place
) -> float:
    """Two averages a trained weight (8-bit on a GPU alone), and adapters themselves, which are float32."""
    eight_bit = trainer.optimizer.endswith("8bit") and place == "gpu"
    averages = 0.0 if trainer.optimizer == "sgd" else 2 * (1 + 4 / _DOUBLE_BLOCK) if eight_bit else 8.0
    adapters = 4 if backbone.lora is not None else 0
    return (averages + adapters) * sum(part.parameters for part in trained)


def _temporary_bytes(
    shape: Shape, backbone: PretrainedBackbone, trained: Sequence[Trained], trainer: TrainerSpec, place: Place
) -> float:
    """Copies that live for one operation: the optimizer's, and one dequantized layer."""
    largest = 2 * max((part.largest for part in trained), default=0)
    copies = 0 if trainer.optimizer == "adamw" else 4 * largest  # fused AdamW makes none
    if backbone.quantization is None or not shape.linear:
        return copies
    return copies + max(layer.inputs * layer.outputs for layer in shape.linear) * _bytes_a_number(
        backbone, place
    )


def _activation_bytes(
    shape: Shape, backbone: PretrainedBackbone, trained: Sequence[Trained], trainer: TrainerSpec, place: Place
) -> float:
    """Bytes a subword that are kept for the backward pass; with checkpointing a vector a block, and one block."""
    if not trained:
        return 0.0
    block = _block_bytes(shape, backbone, place) + _adapter_bytes(shape, backbone, trained)
    if trainer.gradient_checkpointing:
        return shape.blocks * shape.sizes["hidden"] * _bytes_a_number(backbone, place) + block
    return shape.blocks * block


def _block_bytes(shape: Shape, backbone: PretrainedBackbone, place: Place) -> float:
    """Bytes a subword that one block keeps.

    Two norms keep their input in float32; attention keeps queries, keys and values (repeated for grouped heads)
    and its result; the feed-forward part what goes into its activation and, with a gate, the other factor (and
    the activated one, where `nn.fused` does not serve). A linear layer keeps its input only where its weight is
    trained. Encoders, which train with dropout, keep the masks of two dropouts (a byte a number) and attention
    weights, once before and once after dropout.
    """
    sizes, family = shape.sizes, FAMILIES[shape.family]
    hidden, queries, ffn = sizes["hidden"], sizes["queries"], sizes["ffn"]
    number, names = _bytes_a_number(backbone, place), {layer.name for layer in shape.linear}
    is_fused = place == "cpu" and "gate_proj" in names
    factors = 2 if is_fused or names.isdisjoint(("gate_proj", "gate_up_proj", "Wi")) else 3
    total: float = 2 * hidden * 4 + (4 * queries + factors * ffn) * number
    if sizes.get("experts"):
        total += 2 * ffn * number  # a subword goes to two experts or more
    if backbone.is_trained_whole:
        total += (4 * hidden + ffn) * number
    if family.encoder:
        total += 2 * hidden + sizes["heads"] * SENTENCE_MEAN * (2 * number + 1)
    return total


def _adapter_bytes(shape: Shape, backbone: PretrainedBackbone, trained: Sequence[Trained]) -> float:
    """Bytes a subword a block that adapters keep: their input after dropout and its mask, and the narrow vector."""
    if backbone.lora is None:
        return 0.0
    mask = 1 if backbone.lora.dropout else 0
    return sum((part.inputs * (4 + mask) + part.rank * 4) * part.count for part in trained) / shape.blocks


def _forward_width(shape: Shape) -> float:
    """Numbers a subword that live at once when no gradient is wanted: those of one block."""
    return 6 * shape.sizes["hidden"] + 4 * shape.sizes["queries"] + 3 * shape.sizes["ffn"]
