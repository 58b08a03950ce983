"""A transformers model that runs on packed sentences: `(ids_T, packing) -> vectors_TH`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..types import Precision
from . import autocast, fused
from .fused import autocast_modules
from .kernel_choice import KernelRecord
from .packing import Packing


@dataclass(frozen=True)
class BuildContext:
    """Arguments for building a backbone, in addition to its own fields."""

    device: torch.device
    seed: int
    texts: Callable[[], Iterable[str]] | None = None
    """Returns the training text, for a tokenizer that is trained on it."""
    saved: Path | None = None
    """The `model/` folder of a run, which contains the tokenizer and the trained weights."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """With `saved`: `PackedBackbone.base` of the model when it was saved."""
    gradient_checkpointing: bool = False
    prove: bool = True
    fuse: bool = True
    """Whether to replace modules by those that are faster on a CPU."""
    language_model: bool = False
    """Whether to load the output embedding too, for a model that generates text."""
    precision: Precision = "fp32"
    """The number format of the products of the model."""


@dataclass(frozen=True)
class Proof:
    """The result of `proof.prove`, as recorded in `environment.json`."""

    blocks: int
    unmasked: list[int]
    """Numbers of the blocks without a causal mask."""
    attention_calls: int
    stock_difference: float
    """Norm of the difference from the stock model's output, divided by the norm of that output."""
    seconds: float
    packed: bool = True
    """False for an encoder that runs on padded batches with its own attention."""
    holds: bool = True
    precision: Precision = "fp32"
    """The number format of the products in these checks."""
    kernel: str = "eager"
    """The attention kernels that ran during the proof; training may use others (`PackedBackbone.kernels`)."""
    copies: int | None = None
    """How often each sentence is read, if more than once: the last copy was compared too."""
    window: int | None = None
    """How many subwords a word sees on each side, if not all: this was checked in a longer sentence."""

    def as_json(self) -> dict[str, Any]:
        """The fields that are set, for `environment.json`."""
        return {name: value for name, value in vars(self).items() if value is not None}


class PackedBackbone(nn.Module):
    """A model, its tokenizer and its mask.

    Args:
        model: a transformers base model, or a peft model around one.
        tokenizer: its tokenizer.
        flags: one per block, True where the causal mask is removed.
        packs: False for a family that cannot use sltk's attention (DeBERTa); its batches are padded.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, flags: tuple[bool, ...], packs: bool = True) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.flags = flags
        self.packs = packs
        self.window: int | None = None
        """How many subwords a word of an unmasked block sees on each side; None for all of its sentence."""
        self.copies = 1
        """How often each sentence is read in a row; its vectors are those of the last copy."""
        self.attends_to_padding = False
        """Whether sentences are padded to the longest of the batch, and padding is read like their words (a flaw)."""
        self.learned_mask: str | None = None
        """The mask that training chose; None if it kept that of the spec."""
        self._precision: Precision = "fp32"
        self._autocast: torch.dtype | None = None
        self.language_model: nn.Module | None = None
        """With an output embedding: the language model that contains `model` and shares its weights."""
        self.proof: Proof | None = None
        self.kernels = KernelRecord()
        """The attention kernels that ran since the mask was proven."""
        self.prove: Callable[[], Proof] | None = None
        """Proves the mask again, for example on another device; None if the model runs on its own attention."""
        self.base: dict[str, Any] = {}
        """The source of the weights: name, and revision or content hash."""
        config: Any = model.config
        self.hidden_size = int(config.hidden_size)
        self.position_offset = _position_offset(model)
        self._padding = int(getattr(config, "pad_token_id", None) or 0)
        limit = getattr(config, "max_position_embeddings", None)
        self.positions: int | None = limit - self.position_offset if limit and limit > 0 else None
        """Number of positions of the model; None if unlimited."""

    @property
    def max_length(self) -> int | None:
        """Number of subwords per sentence that the model has positions for; None if unlimited."""
        return None if self.positions is None else self.positions // self.copies

    def sentence_tokens(self, pass_tokens: int) -> int:
        """The subwords of sentences that are `pass_tokens` in a forward pass, where copies count; at least 1."""
        return max(1, pass_tokens // self.copies)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    @property
    def is_float32(self) -> bool:
        """Whether all weights are float32, and their products too (on CUDA perhaps in TF32)."""
        return self._precision == "fp32" and {p.dtype for p in self.model.parameters()} == {torch.float32}

    @property
    def precision(self) -> Precision:
        """The number format of matrix products: with autocast on a GPU, in the fused modules on a CPU."""
        return self._precision

    @precision.setter
    def precision(self, value: Precision) -> None:
        self._precision = value
        self._autocast = autocast.autocast_dtype(value, self.device)
        if self._autocast is not None:
            autocast_modules.prepare(self.model, self._autocast)
        elif self.device.type == "cpu":
            fused.set_precision(self.model, value)  # an output layer computes in float32

    def round_weights(self) -> None:
        """Keep the weights of linear layers in the format in which autocast multiplies them, instead of float32.

        Results stay the same, and each pass is spared the rounding. `precision` cannot be changed any more.
        """
        if self._autocast is not None:
            autocast_modules.round_weights(self.model, self._autocast)

    def computing(self) -> AbstractContextManager[object]:
        """Compute in `precision` inside the context; everything that runs the model does so in here."""
        return autocast.computing_in(self.device, self._autocast)

    @property
    def can_checkpoint(self) -> bool:
        """Whether the family can recompute activations in the backward pass."""
        return bool(getattr(self._base_model, "supports_gradient_checkpointing", False))

    def enable_checkpointing(self) -> None:
        """Recompute activations in the backward pass."""
        self._base_model.activation_checkpointing_enable({"use_reentrant": False})

    @property
    def _base_model(self) -> Any:
        """The transformers model, without adapters around it."""
        model: Any = self.model
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def forward(self, ids_T: Tensor, packing: Packing) -> Tensor:
        """Vectors of the T tokens, [T, H]: the hidden state after the last block and the final norm.

        If sentences are repeated, those of the last copy. With autocast they are float32, like everything that is
        computed from them.
        """
        if self.attends_to_padding:
            vectors_TH = self._with_padding(ids_T, packing)
        else:
            vectors_TH = self._last_copies(ids_T, packing)
        return vectors_TH if self._autocast is None else vectors_TH.float()

    def _last_copies(self, ids_T: Tensor, packing: Packing) -> Tensor:
        """Run the model on the copies of each sentence, and return the vectors of the last ones."""
        if self.copies == 1:
            return self.states(ids_T, packing, all_states=False)[-1][0]
        repeated, device = packing.repeated(self.copies), ids_T.device
        ids_X = ids_T.index_select(0, packing.copied_tokens(self.copies, device))
        vectors_XH = self.states(ids_X, repeated, all_states=False)[-1][0]
        return vectors_XH.index_select(0, packing.last_copies(self.copies, device))

    @property
    def padding_token(self) -> int:
        """The token that sentences are padded with: that of the tokenizer, or of the model."""
        token = getattr(self.tokenizer, "pad_token_id", None)
        return self._padding if token is None else int(token)

    def _with_padding(self, ids_T: Tensor, packing: Packing) -> Tensor:
        """Pad all sentences on the right to the longest, read padding as words, and return the vectors of words only.

        The padded sentences are repeated, so each copy is followed by its padding. This is the flaw of published code:
        a vector depends on the other sentences of its batch.
        """
        padded, places_T = packing.padded(), packing.padded_places(ids_T.device)
        fill = ids_T.new_full((padded.tokens,), self.padding_token)
        return self._last_copies(fill.index_copy(0, places_T, ids_T), padded).index_select(0, places_T)

    def states(self, ids_T: Tensor, packing: Packing, all_states: bool) -> list[Tensor]:
        """The last hidden state, or the embedding and the hidden state of every block; each [1, T, H].

        They are the tensors that the model computes with, so gradients flow between them.
        """
        options = {"output_hidden_states": True} if all_states else {}
        with self.computing():
            if not self.packs:
                return [self._padded(ids_T, packing).unsqueeze(0)]
            out = self.model(**self.inputs(ids_T, packing), **options)
        return list(out.hidden_states) if all_states else [out.last_hidden_state]

    def inputs(self, ids_T: Tensor, packing: Packing) -> dict[str, Any]:
        """Keyword arguments of the transformers model for a packed batch."""
        positions_T = packing.positions(ids_T.device)
        if self.position_offset:
            positions_T = positions_T + self.position_offset
        positions_1T = positions_T.unsqueeze(0)
        positions_1T.sltk_packing = packing  # type: ignore[attr-defined]  # see `packed_attention`
        return {"input_ids": ids_T.unsqueeze(0), "position_ids": positions_1T, "packing": packing}

    def _padded(self, ids_T: Tensor, packing: Packing) -> Tensor:
        """Vectors [T, H] from a family with its own attention: pad, run, and remove the padding."""
        count, longest = sum(count for _, count, _ in packing.runs), packing.longest
        places_T = packing.padded_places(ids_T.device)
        padded = torch.full((count * longest,), self._padding, dtype=ids_T.dtype, device=ids_T.device)
        is_real = torch.zeros_like(padded).index_fill(0, places_T, 1)
        out = self.model(
            input_ids=padded.index_copy(0, places_T, ids_T).view(count, longest),
            attention_mask=is_real.view(count, longest),
        )
        states: Tensor = out.last_hidden_state
        return states.flatten(0, 1).index_select(0, places_T)


def _position_offset(model: nn.Module) -> int:
    """Number of the first position: in RoBERTa and its relatives, positions start after the padding index."""
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)  # of `nn.Embedding`, or of I-BERT's own class
        if isinstance(table, nn.Module) and isinstance(padding, int):
            return padding + 1
    return 0
