"""Proof at load time that a model obeys its mask: the gradient shows, block by block, which token reaches which.

Elsewhere a mask switch can be off unnoticed at batch size 1, under another attention back end, or after a library
upgrade. Here no training starts before these checks have passed:

1. Every block's attention went through sltk's function, once, in order.
2. In each block the last word of a sentence reaches earlier words if and only if the block's flag says so, and no
   word reaches another sentence.
3. With the family's own mask, the model gives the output of the stock model, sentence by sentence.

A gradient is exactly zero where there is no path, in any number format. So the second check needs no tolerance:
neither rounding, nor quantization, nor the routing of experts can imitate or hide a path.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError, Problem
from . import autocast, probe_sentences
from .attention import NAME
from .backbone import PackedBackbone, Proof
from .mask_flags import UnsuitableError, family_mask
from .packing import Packing


@torch.enable_grad()
def prove(backbone: PackedBackbone, modules: Sequence[nn.Module], *, own: bool) -> Proof:
    """Check that a model obeys the flags that its attention modules have.

    Args:
        backbone: the model, and the flags it should obey.
        modules: its attention modules, one per block.
        own: the flag of the model's own mask: True for an encoder and for a decoder with `is_causal: false`.

    Raises:
        ModelError: blocks contradict their flag; the message names them.
        UnsuitableError: the model does something that no mask explains.
    """
    start_time = time.perf_counter()
    model: Any = backbone.model
    flags, was_training = backbone.flags, model.training
    model.eval()
    backbone.kernels.clear()
    with probe_sentences.recorded_calls() as calls, tracked_embedding(model) as embedded:
        states = backbone.states(probe_sentences.token_ids(model), probe_sentences.PACKING, all_states=True)
    if [id(module) for module, _ in calls] != [id(module) for module in modules]:
        raise violation(f"{len(calls)} calls of sltk's attention function for {len(flags)} blocks")
    _check_embedding(states[0], embedded[0])
    _check_blocks(states, flags)
    difference = _stock_difference(backbone, modules, own)
    model.train(was_training)
    unmasked = [block for block, flag in enumerate(flags) if flag]
    seconds = round(time.perf_counter() - start_time, 3)
    kernel = ", ".join(backbone.kernels.kernels)
    backbone.kernels.clear()
    return Proof(
        len(flags), unmasked, len(calls), difference, seconds, precision=backbone.precision, kernel=kernel
    )


@torch.enable_grad()
def looks_ahead(backbone: PackedBackbone) -> bool:
    """Whether earlier words depend on the last word of a sentence: True for every encoder, never for a decoder.

    Raises:
        UnsuitableError: the output does not depend on the embedding of the words.
    """
    ids_T = probe_sentences.token_ids(backbone.model)[probe_sentences.FIRST]
    last = len(ids_T) - 1
    with tracked_embedding(backbone.model) as embedded:
        (state_1TH,) = backbone.states(ids_T, Packing.of_lengths((len(ids_T),)), all_states=False)
    return last in sources(state_1TH[0, :last], embedded[0])


def _check_embedding(state_1TH: Tensor, embedded_1TH: Tensor) -> None:
    """Check that no token reaches another before the first block (MobileBERT's embedding mixes neighbours)."""
    for token in (0, 4, 5, 7):
        if any(other != token for other in sources(state_1TH[0, token : token + 1], embedded_1TH)):
            raise UnsuitableError("words reach each other before the first block, in the embedding")


def _check_blocks(states: list[Tensor], flags: Sequence[bool]) -> None:
    if len(states) != len(flags) + 1:
        raise UnsuitableError(f"the model returns {len(states) - 1} hidden states for {len(flags)} blocks")
    wrong = []
    for block, flag in enumerate(flags):
        looks_ahead = set()
        for sentence in (probe_sentences.FIRST, probe_sentences.SECOND):
            earlier, last = slice(sentence.start, sentence.stop - 1), sentence.stop - 1
            reached = sources(states[block + 1][0, earlier], states[block])
            if not reached <= set(range(sentence.start, sentence.stop)):
                raise UnsuitableError(f"in block {block} a word of one sentence reaches another sentence")
            if not set(range(earlier.start, earlier.stop)) <= reached:
                raise UnsuitableError(f"in block {block} words do not reach themselves")
            looks_ahead.add(last in reached)
        if looks_ahead != {flag}:
            wrong.append(f"{block} (expected: {'unmasked' if flag else 'causal'})")
    if wrong:
        raise violation(f"these blocks do the opposite of what their mask says: {', '.join(wrong)}")


def sources(outputs_XH: Tensor, inputs_1TH: Tensor) -> set[int]:
    """Positions of the inputs that the outputs depend on."""
    # The weights differ, because the plain sum over a normalized vector is constant and has no gradient.
    weights_XH = torch.cos(torch.arange(outputs_XH.numel(), device=outputs_XH.device)).reshape(
        outputs_XH.shape
    )
    total = (outputs_XH.float() * weights_XH).sum()
    if not total.requires_grad:
        raise UnsuitableError("a part of the model has no gradient")
    (gradient,) = torch.autograd.grad(total, inputs_1TH, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise UnsuitableError("the hidden states that the model returns are not those it computes with")
    if not bool(gradient.isfinite().all()):
        raise violation("the model computes numbers that are not finite; try dtype: float32")
    # One row per token, also in a family whose embedding is [T, 1, H] (XLNet).
    reached_T = gradient.flatten(0, -2).ne(0).any(-1)
    return set(reached_T.nonzero().flatten().tolist())


def _stock_difference(backbone: PackedBackbone, modules: Sequence[nn.Module], own: bool) -> float:
    """Relative difference from transformers' own eager attention, positions and mask, with the family's own mask."""
    model: Any = backbone.model
    ids_T = probe_sentences.token_ids(model)
    with family_mask(modules, unmasked=own), torch.inference_mode():
        ours_TH = backbone.states(ids_T, probe_sentences.PACKING, all_states=False)[-1][0]
        try:
            with backbone.computing():
                stock_TH = _stock_output(model, ids_T)
        finally:
            model.set_attn_implementation(NAME)
    difference = relative_difference(ours_TH, stock_TH)
    if not difference <= tolerance(backbone):
        raise UnsuitableError(f"its output differs by {difference:.1%} from that of the stock model")
    return difference


def _stock_output(model: Any, ids_T: Tensor) -> Tensor:
    """The output of the stock model for both sentences, [T, H]."""
    sentences = [ids_T[s][None] for s in (probe_sentences.FIRST, probe_sentences.SECOND)]
    model.set_attn_implementation("sdpa" if model.config.model_type in _NEEDS_MASK else "eager")
    return torch.cat([model(input_ids=ids).last_hidden_state[0] for ids in sentences])


_NEEDS_MASK = frozenset({"modernbert-decoder"})
"""Families whose eager attention adds a mask without asking whether there is one: it is None if nothing is masked."""


def relative_difference(x_TH: Tensor, y_TH: Tensor) -> float:
    """Norm of the difference divided by the norm of `y_TH`, for the token where this is largest."""
    x_TH, y_TH = x_TH.float(), y_TH.float()
    return float(((x_TH - y_TH).norm(dim=-1) / y_TH.norm(dim=-1).clamp(min=1e-6)).max())


def tolerance(backbone: PackedBackbone) -> float:
    """The relative difference that rounding may cause in the number format that the model computes in.

    Measured with 30 blocks: 5e-6 in float32, 0.02 in bfloat16, 0.04 in NF4, 0.09 in int8; under autocast from float32
    weights, 0.04 in bfloat16 and 0.006 in float16. It grows with the number of blocks, and a false alarm would stop a
    valid run, so the limit is generous; the second check has no tolerance. TF32 has 11 bits, 3 more than bfloat16.
    """
    if getattr(backbone.model, "is_loaded_in_8bit", False):
        return 0.5  # which columns count as outliers depends on all tokens of a batch
    if not backbone.is_float32:
        return 0.3
    return 0.04 if autocast.uses_tf32(backbone.device) else 1e-3


def violation(what: str) -> ModelError:
    """The error that a model does not do what its settings say."""
    return ModelError(Problem(f"the mask does not hold: {what}", notes=("nothing was trained or predicted",)))


@contextmanager
def tracked_embedding(model: Any) -> Iterator[list[Tensor]]:
    """Collect the output of the embedding, with a gradient whether or not its weights are trained."""
    embedded: list[Tensor] = []

    def track(_: nn.Module, __: Any, output: Any) -> None:
        vectors = output[0] if isinstance(output, tuple) else output  # I-BERT adds the scale of its integers
        embedded.append(vectors if vectors.requires_grad else vectors.requires_grad_())

    hook = model.get_input_embeddings().register_forward_hook(track)
    try:
        yield embedded
    finally:
        hook.remove()
