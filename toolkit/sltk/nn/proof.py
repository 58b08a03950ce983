"""Proof at load that a model obeys its mask: two tiny forward passes, looked at from inside.

Elsewhere a mask switch is silently off at batch size 1, under another attention back end, or after a library
upgrade. Here nothing trains before this has been seen:

1. every block's attention went through our function, once, in order;
2. in each block a changed last key and value reach the first word exactly if the block's flag says so;
3. in the whole model a changed last token reaches earlier words exactly from the first unmasked block on,
   and never another sentence of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..errors import ModelError, Problem
from .attention import NAME, Packing

_LENGTHS = (5, 3)
"""The probe: two sentences, so that leaks between sentences show too."""


@dataclass(frozen=True)
class Proof:
    """What was seen, as `environment.json` records it."""

    blocks: int
    unmasked: list[int]
    attention_calls: int
    seconds: float
    holds: bool = True


@dataclass
class _Seen:
    """The attention modules in calling order, and whether the last word reached the first in each."""

    modules: list[nn.Module] = field(default_factory=list)
    reaches_back: list[bool] = field(default_factory=list)


def attention_modules(model: nn.Module, forward: Forward) -> list[nn.Module]:
    """The modules that call our attention function, in the order they are called: one a block.

    Flags are not needed yet: every module gets a causal one for the time of the call.
    """
    for module in model.modules():
        module.sltk_unmasked, module.sltk_drop_window = False, False  # type: ignore[assignment]
    with _spy() as seen, torch.inference_mode():
        forward(_probe(model), Packing.of_lengths(_LENGTHS), False)
    for module in model.modules():
        if not any(module is called for called in seen.modules):
            del module.sltk_unmasked, module.sltk_drop_window
    return seen.modules


def assign_flags(modules: Sequence[nn.Module], flags: Sequence[bool], *, drop_window: bool) -> None:
    """Tell each block's attention module whether its causal mask is removed."""
    for module, flag in zip(modules, flags, strict=True):
        module.sltk_unmasked = flag  # type: ignore[assignment]
        module.sltk_drop_window = drop_window  # type: ignore[assignment]


def prove(model: nn.Module, forward: Forward, flags: Sequence[bool]) -> Proof:
    """See that the model obeys `flags`.

    Raises:
        ModelError: it does not; the message names the blocks.
    """
    begun = time.perf_counter()
    was_training = model.training
    model.eval()
    ids_T = _probe(model)
    packing = Packing.of_lengths(_LENGTHS)
    changed_T = ids_T.clone()
    last = _LENGTHS[0] - 1
    changed_T[last] = (changed_T[last] + 7) % _vocabulary(model)
    with torch.inference_mode():
        with _spy() as seen:
            states = forward(ids_T, packing, True)
        changed_states = forward(changed_T, packing, True)
    model.train(was_training)
    _check_calls(seen, flags)
    _check_blocks(seen, flags)
    _check_states(states, changed_states, flags)
    unmasked = [block for block, flag in enumerate(flags) if flag]
    return Proof(len(flags), unmasked, len(seen.modules), round(time.perf_counter() - begun, 3))


def _check_calls(seen: _Seen, flags: Sequence[bool]) -> None:
    if len(seen.modules) != len(flags) or len({id(module) for module in seen.modules}) != len(flags):
        raise _refusal(
            f"{len(set(map(id, seen.modules)))} of {len(flags)} blocks ran their attention through sltk's function"
        )


def _check_blocks(seen: _Seen, flags: Sequence[bool]) -> None:
    wrong = [block for block, flag in enumerate(flags) if seen.reaches_back[block] != flag]
    if wrong:
        names = ", ".join(f"{block} (asked: {'unmasked' if flags[block] else 'causal'})" for block in wrong)
        raise _refusal(f"these blocks do the opposite of what their mask says: {names}")


def _check_states(before: list[Tensor], after: list[Tensor], flags: Sequence[bool]) -> None:
    first_unmasked = next((block for block, flag in enumerate(flags) if flag), len(flags))
    # Entry 0 is the embedding, entry i the state after block i - 1.
    for block, (x_TH, y_TH) in enumerate(zip(before, after, strict=True)):
        moved_T = _moved(x_TH, y_TH)
        earlier, other_sentence = moved_T[: _LENGTHS[0] - 1], moved_T[_LENGTHS[0] :]
        if other_sentence.any():
            raise _refusal(f"a word of one sentence reached another sentence at or before block {block - 1}")
        if bool(earlier.any()) and block - 1 < first_unmasked:
            raise _refusal(
                f"a later word reached an earlier one in or before block {block - 1}, which is causal"
            )
    if first_unmasked < len(flags) and not bool(_moved(before[-1], after[-1])[: _LENGTHS[0] - 1].any()):
        raise _refusal(f"block {first_unmasked} is unmasked, yet later words change no earlier one")


def _moved(x_TH: Tensor, y_TH: Tensor) -> Tensor:
    """[T]: which positions differ by more than rounding."""
    tolerance = 1e-6 if x_TH.dtype == torch.float32 else 1e-3
    scale = x_TH.float().abs().amax().clamp(min=1e-6)
    return (x_TH.float() - y_TH.float()).abs().amax(-1) > tolerance * scale


def _refusal(what: str) -> ModelError:
    return ModelError(Problem(f"the mask does not hold: {what}", notes=("nothing was trained or predicted",)))


@contextmanager
def _spy() -> Iterator[_Seen]:
    """Watch every call of the registered attention function, whatever stands there now."""
    seen = _Seen()
    registered = ALL_ATTENTION_FUNCTIONS[NAME]

    def watched(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> Any:
        out = registered(module, q, k, v, *args, **kwargs)
        last = _LENGTHS[0] - 1
        other_k, other_v = k.clone(), v.clone()
        other_k[:, :, last] += 1.0
        other_v[:, :, last] += 1.0 + v.abs().amax()
        other = registered(module, q, other_k, other_v, *args, **kwargs)
        seen.modules.append(module)
        seen.reaches_back.append(
            not torch.allclose(out[0][:, 0].float(), other[0][:, 0].float(), rtol=0, atol=1e-4)
        )
        return out

    AttentionInterface.register(NAME, watched)
    try:
        yield seen
    finally:
        AttentionInterface.register(NAME, registered)


def _vocabulary(model: nn.Module) -> int:
    return int(model.get_input_embeddings().weight.shape[0])  # type: ignore[operator]


def _probe(model: nn.Module) -> Tensor:
    """Token numbers of the two probe sentences, spread over the vocabulary."""
    size, total = _vocabulary(model), sum(_LENGTHS)
    device = model.get_input_embeddings().weight.device  # type: ignore[operator]
    return torch.tensor([(3 + 11 * i) % size for i in range(total)], device=device)


class Forward:
    """How the proof runs a model: `(ids_T, packing, all_states) -> [state_TH, …]`."""

    def __call__(self, ids_T: Tensor, packing: Packing, all_states: bool) -> list[Tensor]:
        """Hidden states after the embedding and each block, or the last one only."""
        raise NotImplementedError
