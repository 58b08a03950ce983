"""Memory of training, in closed form.

Held throughout: the process itself (on a CPU), the weights in their dtype or quantized, and the optimizer's averages
of the trained weights. Added during an update: one gradient per trained weight, the activations kept for the backward
pass, and the optimizer's temporary copies. The largest forward pass sets the peak.

Measured on a CPU (peak of the process, batches of 16 restaurant reviews, one epoch) and estimated here: a 135M Llama
with LoRA of rank 64 on q and v, 1.78 GB and 1.75 GB; a 22.7M MiniLM with all weights trained, 1.12 GB and 1.11 GB.
Not counted: the memory of the GPU driver (about 0.5 GiB).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from ..components.backbones.pretrained import PretrainedBackbone, Quantization
from ..families.model_shape import Shape
from ..families.model_tables import FAMILIES
from ..spec.instruct_settings import InstructSpec, fill
from ..spec.trainer_settings import TrainerSpec
from ..types import PrecisionSetting
from .model_info import DTYPE_BYTES

Device = Literal["gpu", "cpu"]

PROCESS_BYTES = 620_000_000
"""Python, torch, transformers and the data of a small run: the measured peak of a run with a 0.5M model."""
VECTORS_IN_MEMORY = 2**30
"""Bytes of vectors of a frozen backbone that are kept in main memory; more are in a file."""
SENTENCE_MEAN, SENTENCE_SPREAD = 24, 14
"""Subwords per sentence of news or reviews: mean and standard deviation. The mean of CoNLL-2003 is 23."""
RESPONSE_MEAN = 8
"""Subwords per response: one or two spans."""
_CHARACTERS_PER_SUBWORD = 4
_SCORED_TOKENS = 1024
"""Tokens whose vocabulary scores a language model holds at the same time."""
_BLOCK, _DOUBLE_BLOCK = 64, 256
"""bitsandbytes stores one constant per 64 weights and, with double quantization, one more per 256 constants."""


@dataclass(frozen=True)
class TrainedWeights:
    """A group of trained weights, and the layers that they belong to."""

    parameters: int
    inputs: int = 0
    rank: int = 0
    count: int = 1
    largest: int = 0
    """Numbers in the largest tensor of the group."""


def largest_batch(
    sentences: int, max_length: int | None, mean: float = SENTENCE_MEAN, spread: float = SENTENCE_SPREAD
) -> int:
    """Subwords in the largest batch of a run.

    Sentences are packed without padding, so B sentences have about B · 24 subwords, and the largest of many batches
    about B · 24 + 3 · 14 · √B, with another `mean` and `spread` if they are known.
    """
    tokens = sentences * mean + 3 * spread * sqrt(sentences)
    return round(min(tokens, sentences * (max_length or tokens)))


def largest_pass(trainer: TrainerSpec, largest: Callable[[int], int]) -> int:
    """Subwords in the largest forward pass of a run: those of a batch, or as many as `micro_batch_tokens` allows.

    Args:
        largest: subwords in the largest of many batches with this number of sentences.
    """
    most = trainer.micro_batch_tokens
    if most == "auto":
        return largest(trainer.batch_size)
    return min(most, largest(trainer.batch_size * trainer.gradient_accumulation))


def prompt_subwords(spec: InstructSpec) -> int:
    """Subwords of a prompt and its response, without those of the sentence."""
    prompt = len(fill(spec.template, spec.prompt_values(""))) / _CHARACTERS_PER_SUBWORD
    return round(prompt) + RESPONSE_MEAN + spec.shots * (SENTENCE_MEAN + RESPONSE_MEAN)


def number_bytes(backbone: PretrainedBackbone, device: Device, precision: PrecisionSetting) -> int:
    """Bytes per weight; `auto` is float32 on a CPU and where all weights are trained, otherwise as products are."""
    if backbone.dtype != "auto":
        return DTYPE_BYTES[backbone.dtype]
    if device == "cpu" or backbone.trains_all_weights:
        return 4
    quantization = backbone.quantization
    named = "auto" if quantization is None else quantization.compute_dtype
    return DTYPE_BYTES.get(named, 4 if precision == "fp32" else 2)


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of one training run on one device; all sizes are in bytes."""

    shape: Shape
    backbone: PretrainedBackbone
    trainer: TrainerSpec
    trained: Sequence[TrainedWeights]
    device: Device
    language_model: bool = False
    """Whether tokens are predicted, so that scores over the vocabulary are held."""
    shards: int = 1
    """Number of processes that hold one part each."""

    def peak(self, pass_tokens: int, *, checkpointing: bool) -> int:
        """Peak memory: on a GPU as torch counts its allocations, on a CPU of the whole process.

        Args:
            pass_tokens: subwords in the largest forward pass.
            checkpointing: whether activations are recomputed.
        """
        update = pass_tokens * self._activations(checkpointing) + self._update()
        update += self._scores() * min(pass_tokens, _SCORED_TOKENS)
        evaluation = self.trainer.eval_batch_tokens * self._forward_width() * self._number
        process = PROCESS_BYTES if self.device == "cpu" else 0
        return round(self.weights() + self._optimizer() + max(update, evaluation) + process)

    def fitting_tokens(self, free: float, *, checkpointing: bool) -> int:
        """The subwords of a forward pass that fit into free memory, after the weights have been loaded; 0 or more.

        Args:
            free: bytes, of which optimizer and gradients need their part.
            checkpointing: whether activations are recomputed.
        """
        room = free - self._optimizer() - self._update() - self._scores() * _SCORED_TOKENS
        return max(0, int(room / max(self._activations(checkpointing), 1)))

    def _update(self) -> float:
        """Memory of an update that does not depend on its subwords: gradients and copies of weights."""
        copies = self._half_copies() if self.shards == 1 else self._gathered()
        return 4 * self._trained_parameters / self.shards + copies + self._temporary()

    def _scores(self) -> int:
        """Scores over the vocabulary, per scored token: float32, with their softmax and its gradient."""
        return 3 * 4 * self.shape.sizes.get("vocabulary", 0) if self.language_model else 0

    @property
    def _trained_parameters(self) -> int:
        return sum(group.parameters for group in self.trained)

    @property
    def _number(self) -> int:
        """Bytes per activation: on a GPU by the precision of its products, on a CPU that of the weights."""
        return 2 if self.device == "gpu" and self._in_half else self._weight

    @property
    def _weight(self) -> int:
        return number_bytes(self.backbone, self.device, self.trainer.precision)

    def weights(self) -> float:
        """The backbone's weights: linear layers quantized if the spec says so, the rest in its dtype."""
        quantization = self.backbone.quantization
        if quantization is None:
            return self.shape.parameters * self._weight / self.shards
        rest = self.shape.parameters - self._linear
        return self._linear * _bytes_per_quantized_weight(quantization) + rest * self._weight

    @property
    def _linear(self) -> int:
        """Number of weights in linear layers."""
        return sum(layer.count * layer.inputs * layer.outputs for layer in self.shape.linear)

    @property
    def _in_half(self) -> bool:
        """Whether products are in 16 bits; `auto` is so on a GPU."""
        precision = self.trainer.precision
        return precision in ("bf16", "fp16") or (precision == "auto" and self.device == "gpu")

    def _half_copies(self) -> float:
        """16-bit copies of float32 weights, for products in 16 bits."""
        needed = self._in_half and self._weight == 4 and self.backbone.quantization is None
        return 2.0 * self._linear if needed else 0.0

    def _optimizer(self) -> float:
        """Two averages per trained weight (8-bit on a GPU only), adapters, which are float32, and what `ema` keeps."""
        eight_bit = self.trainer.optimizer.endswith("8bit") and self.device == "gpu"
        averages = (
            0.0 if self.trainer.optimizer == "sgd" else 2 * (1 + 4 / _DOUBLE_BLOCK) if eight_bit else 8.0
        )
        adapters = 4 if self.backbone.lora is not None else 0
        average = 4 if self.trainer.ema is not None else 0  # of the weights
        return (averages + adapters + average) * self._trained_parameters / self.shards

    def _gathered(self) -> float:
        """Whole weights in a sharded run, and their gradients: of the embedding and of two blocks, for products."""
        sizes = self.shape.sizes
        embedding = sizes.get("vocabulary", 0) * sizes["hidden"]
        blocks = 2 * (self.shape.parameters - embedding) / self.shape.blocks
        copies = 2 if self.backbone.trains_all_weights else 1
        return copies * (embedding * self._weight + blocks * min(self._weight, self._number))

    def _temporary(self) -> float:
        """Copies that live for one operation: those of the optimizer, and one dequantized layer."""
        largest = max((group.largest for group in self.trained), default=0)
        copies = 0 if self.trainer.optimizer == "adamw" else 8 * largest  # fused AdamW makes no copies
        if self.backbone.quantization is None:
            return copies
        return copies + self._weight * max(
            (layer.inputs * layer.outputs for layer in self.shape.linear), default=0
        )

    def _activations(self, checkpointing: bool) -> float:
        """Bytes per subword kept for the backward pass; with checkpointing one vector per block, and one block."""
        if not self.trained:
            return 0.0
        block = self._block() + self._adapters()
        if checkpointing:
            return self.shape.blocks * self.shape.sizes["hidden"] * self._number + block
        return self.shape.blocks * block

    def _block(self) -> float:
        """Bytes per subword that one block keeps.

        Two norms keep their input in float32. Attention keeps queries, keys and values (repeated for grouped heads)
        and its result. The feed-forward part keeps the input of its activation and, with a gate, the other factor
        (and the activated one, unless `nn.fused` replaces the layer). A linear layer keeps its input only if its
        weight is trained. Encoders, which train with dropout, keep the masks of two dropouts (one byte per number)
        and attention weights, once before and once after dropout.
        """
        sizes, number = self.shape.sizes, self._number
        hidden, ffn = sizes["hidden"], sizes["ffn"]
        names = {layer.name for layer in self.shape.linear}
        is_fused = self.device == "cpu" and "gate_proj" in names
        factors = 2 if is_fused or names.isdisjoint(("gate_proj", "gate_up_proj", "Wi")) else 3
        total: float = 2 * hidden * 4 + (4 * sizes["queries"] + factors * ffn) * number
        if sizes.get("experts"):
            total += 2 * ffn * number  # each subword goes to two experts or more
        if self.backbone.trains_all_weights:
            total += (4 * hidden + ffn) * number
        if FAMILIES[self.shape.family].encoder:
            total += 2 * hidden + sizes["heads"] * SENTENCE_MEAN * (2 * number + 1)
        return total

    def _adapters(self) -> float:
        """Bytes per subword and block that adapters keep: their input after dropout, its mask, the narrow vector."""
        if self.backbone.lora is None:
            return 0.0
        mask = 1 if self.backbone.lora.dropout else 0
        number = 2 if self.device == "gpu" and self._in_half else 4
        kept = sum(
            (group.inputs * (number + mask) + group.rank * number) * group.count for group in self.trained
        )
        return kept / self.shape.blocks

    def _forward_width(self) -> float:
        """Numbers per subword held at once without gradients: those of one block."""
        sizes = self.shape.sizes
        return 6 * sizes["hidden"] + 4 * sizes["queries"] + 3 * sizes["ffn"]


def _bytes_per_quantized_weight(quantization: Quantization) -> float:
    """Bytes per weight, including its share of the quantization constants."""
    if quantization.type == "int8":
        return 1.0
    constants = (1 + 4 / _DOUBLE_BLOCK) / _BLOCK if quantization.double else 4 / _BLOCK
    return 0.5 + constants
