"""Proof at load that a model obeys its mask: what reaches what is read off the gradient, block by block.

Elsewhere a mask switch is silently off at batch size 1, under another attention back end, or after a library
upgrade. Here nothing trains before this has been seen:

1. every block's attention went through our function, once, in order;
2. in each block the last word of a sentence reaches earlier words exactly if the block's flag says so, and no
   word reaches another sentence;
3. with the mask that the family was made with, the model gives what the stock model gives, sentence by sentence.

A gradient is exactly zero where there is no path, in any number format: the second point needs no tolerance,
and neither rounding, quantization nor the routing of experts can imitate or hide a path.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..errors import ModelError, Problem
from . import varlen
from .attention import NAME, Packing

PROBE_LENGTHS = (5, 3)
"""The probe: two sentences, so that leaks between sentences show too."""
_FIRST, _SECOND = slice(0, 5), slice(5, 8)


@dataclass(frozen=True)
class Proof:
    """What was seen, as `environment.json` records it."""

    blocks: int
    unmasked: list[int]
    attention_calls: int
    stock_difference: float
    """Norm of the difference from the stock model, as a part of the norm of what the stock model gives."""
    seconds: float
    packed: bool = True
    """False for an encoder with attention of its own, which runs as it is, on padded batches."""
    holds: bool = True
    kernel: str = "by length"
    """What computes attention: a kernel for many lengths (`varlen.py`), or a call for each length."""


class Forward(Protocol):
    """How the proof runs a model; hidden states after the embedding and each block, or the last one only."""

    def __call__(self, ids_T: Tensor, packing: Packing, all_states: bool) -> list[Tensor]:
        """Each state is [1, T, H], and the tensor itself that the next block computes with."""
        ...


@dataclass
class _Seen:
    """The calls of our attention function, in order: who called, with which window."""

    modules: list[nn.Module] = field(default_factory=list)
    windows: list[int | None] = field(default_factory=list)


class UnsuitableError(Exception):
    """The family cannot run on our attention; the text says why."""


def attention_modules(model: nn.Module, forward: Forward) -> list[nn.Module]:
    """The modules that call our attention function, in the order they are called: one a block.

    A module that serves several blocks (ALBERT) appears several times.

    Raises:
        UnsuitableError: some block takes another way, or sees by a rule that our function is not told of.
    """
    for module in model.modules():
        module.sltk_unmasked, module.sltk_drop_window = False, False  # type: ignore[assignment]
    try:
        with _spy() as seen, torch.inference_mode():
            forward(probe(model), Packing.of_lengths(PROBE_LENGTHS), False)
    finally:
        for module in model.modules():
            del module.sltk_unmasked, module.sltk_drop_window
    _check_rules(model, seen)
    for module in seen.modules:
        module.sltk_unmasked, module.sltk_drop_window = False, False  # type: ignore[assignment]
    return seen.modules


def _check_rules(model: Any, seen: _Seen) -> None:
    """Every block attends, and by rules that our function knows: full, or within a window it was told of."""
    blocks = int(model.config.num_hidden_layers)
    if len(seen.modules) != blocks:
        raise UnsuitableError(
            f"{blocks - len(seen.modules)} of its {blocks} blocks take another attention function"
        )
    rules = getattr(model.config, "layer_types", None) or ["full_attention"] * blocks
    for block, (rule, window) in enumerate(zip(rules, seen.windows, strict=True)):
        if rule not in ("full_attention", "sliding_attention"):
            raise UnsuitableError(f"block {block} is of type {rule}")
        if rule == "sliding_attention" and window is None:
            raise UnsuitableError(f"block {block} keeps its window in a mask of its own")


def assign_flags(modules: Sequence[nn.Module], flags: Sequence[bool], *, drop_window: bool) -> None:
    """Tell each block's attention module whether its causal mask is removed.

    Raises:
        UnsuitableError: blocks that are one and the same module are to have different masks.
    """
    given: dict[int, bool] = {}
    for module, flag in zip(modules, flags, strict=True):
        if given.setdefault(id(module), flag) != flag:
            raise UnsuitableError("its blocks share one set of weights and one mask: `all` or `none`")
        module.sltk_unmasked = flag  # type: ignore[assignment]
        module.sltk_drop_window = drop_window  # type: ignore[assignment]


@torch.enable_grad()
def prove(
    model: Any, forward: Forward, modules: Sequence[nn.Module], flags: Sequence[bool], *, own: bool
) -> Proof:
    """See that the model, its modules flagged, obeys `flags`; `own` is the flag that the family was made with.

    Raises:
        ModelError: blocks do not do what their flag says; the message names them.
        UnsuitableError: the family does what no mask accounts for.
    """
    begun = time.perf_counter()
    was_training = model.training
    model.eval()
    ids_T, packing = probe(model), Packing.of_lengths(PROBE_LENGTHS)
    with _spy() as seen, _tracked_embedding(model) as embedded:
        states = forward(ids_T, packing, True)
    if [id(module) for module in seen.modules] != [id(module) for module in modules]:
        raise refusal(f"{len(seen.modules)} calls of sltk's attention function for {len(flags)} blocks")
    _check_embedding(states[0], embedded[0])
    _check_blocks(states, flags)
    difference = _stock_difference(model, forward, modules, own)
    model.train(was_training)
    unmasked = [block for block, flag in enumerate(flags) if flag]
    seconds = round(time.perf_counter() - begun, 3)
    state = next(p for p in model.parameters() if p.is_floating_point())
    kernel = varlen.chosen(state.device, state.dtype) or Proof.kernel
    return Proof(len(flags), unmasked, len(seen.modules), difference, seconds, kernel=kernel)


def _check_embedding(state_1TH: Tensor, embedded_1TH: Tensor) -> None:
    """Before the first block no token reaches another (MobileBERT's embedding looks at its neighbours)."""
    for token in (0, 4, 5, 7):
        if any(other != token for other in _sources(state_1TH[0, token : token + 1], embedded_1TH)):
            raise UnsuitableError("words reach each other before the first block, in the embedding")


def _check_blocks(states: list[Tensor], flags: Sequence[bool]) -> None:
    if len(states) != len(flags) + 1:
        raise UnsuitableError(f"the model shows {len(states) - 1} hidden states for {len(flags)} blocks")
    wrong = []
    for block, flag in enumerate(flags):
        seen = {}
        for sentence in (_FIRST, _SECOND):
            earlier, last = slice(sentence.start, sentence.stop - 1), sentence.stop - 1
            sources = _sources(states[block + 1][0, earlier], states[block])
            if not sources <= set(range(sentence.start, sentence.stop)):
                raise UnsuitableError(f"in block {block} a word of one sentence reaches another sentence")
            if not set(range(earlier.start, earlier.stop)) <= sources:
                raise UnsuitableError(f"in block {block} words do not even reach themselves")
            seen[last] = last in sources
        if set(seen.values()) != {flag}:
            wrong.append(f"{block} (asked: {'unmasked' if flag else 'causal'})")
    if wrong:
        raise refusal(f"these blocks do the opposite of what their mask says: {', '.join(wrong)}")


def _sources(outputs_XH: Tensor, inputs_1TH: Tensor) -> set[int]:
    """Positions of the inputs that the outputs depend on."""
    # Weights of different sizes: the plain sum over a normalised vector does not depend on anything.
    weights_XH = torch.cos(torch.arange(outputs_XH.numel(), device=outputs_XH.device)).reshape(
        outputs_XH.shape
    )
    total = (outputs_XH.float() * weights_XH).sum()
    (gradient,) = torch.autograd.grad(total, inputs_1TH, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise UnsuitableError("the model shows hidden states that are not those it computes with")
    if not bool(gradient.isfinite().all()):
        raise refusal("the model computes numbers that are not finite; try dtype: float32")
    reached_T = gradient[0].ne(0).any(-1)
    return set(reached_T.nonzero().flatten().tolist())


def _stock_difference(model: Any, forward: Forward, modules: Sequence[nn.Module], own: bool) -> float:
    """How far we are from transformers' own eager attention, positions and mask, where the masks are the same."""
    before = [(module.sltk_unmasked, module.sltk_drop_window) for module in modules]
    assign_flags(modules, [own] * len(modules), drop_window=False)
    ids_T = probe(model)
    with torch.inference_mode():
        ours_TH = forward(ids_T, Packing.of_lengths(PROBE_LENGTHS), False)[-1][0]
        model.set_attn_implementation("eager")
        try:
            stock_TH = torch.cat(
                [model(input_ids=ids_T[s][None]).last_hidden_state[0] for s in (_FIRST, _SECOND)]
            )
        finally:
            model.set_attn_implementation(NAME)
    for module, (flag, drop) in zip(modules, before, strict=True):
        module.sltk_unmasked, module.sltk_drop_window = flag, drop  # type: ignore[assignment]
    difference = relative_difference(ours_TH, stock_TH)
    if not difference <= tolerance(model):
        raise UnsuitableError(f"its output is {difference:.1%} away from what the stock model gives")
    return difference


def relative_difference(x_TH: Tensor, y_TH: Tensor) -> float:
    """Norm of the difference as a part of the norm of `y_TH`, of the token where that is largest."""
    x_TH, y_TH = x_TH.float(), y_TH.float()
    return float(((x_TH - y_TH).norm(dim=-1) / y_TH.norm(dim=-1).clamp(min=1e-6)).max())


def tolerance(model: Any) -> float:
    """What rounding may account for: measured at 30 blocks, 5e-6 in float32, .02 in bfloat16, .04 in NF4, .09 in int8.

    It adds up over blocks, and a false alarm would stop a sound run; the second point of the proof needs none.
    """
    if getattr(model, "is_loaded_in_8bit", False):
        return 0.5  # which columns count as outliers depends on all tokens of a batch
    parameter_types = {parameter.dtype for parameter in model.parameters()}
    return 1e-3 if parameter_types == {torch.float32} else 0.3


def refusal(what: str) -> ModelError:
    """The error that the mask is not what it should be."""
    return ModelError(Problem(f"the mask does not hold: {what}", notes=("nothing was trained or predicted",)))


@contextmanager
def _spy() -> Iterator[_Seen]:
    """Watch every call of the registered attention function, whatever stands there now."""
    seen = _Seen()
    registered = ALL_ATTENTION_FUNCTIONS[NAME]

    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        seen.modules.append(module)
        seen.windows.append(kwargs.get("sliding_window"))
        return registered(module, *args, **kwargs)

    AttentionInterface.register(NAME, watched)
    try:
        yield seen
    finally:
        AttentionInterface.register(NAME, registered)


@contextmanager
def _tracked_embedding(model: Any) -> Iterator[list[Tensor]]:
    """What the embedding gave, as the root of the gradients, whether or not its weights are trained."""
    embedded: list[Tensor] = []

    def track(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        output = output if output.requires_grad else output.requires_grad_()
        embedded.append(output)
        return output

    hook = model.get_input_embeddings().register_forward_hook(track)
    try:
        yield embedded
    finally:
        hook.remove()


def probe(model: Any) -> Tensor:
    """Token numbers of the two probe sentences, spread over the vocabulary, none of them padding."""
    weight = model.get_input_embeddings().weight
    size, padding = weight.shape[0], getattr(model.config, "pad_token_id", None)
    numbers = [number for number in range(min(3, size - 1), size) if number != padding] or [0]
    return torch.tensor(
        [numbers[11 * i % len(numbers)] for i in range(sum(PROBE_LENGTHS))], device=weight.device
    )
