"""The choice of the kernel for each attention call, and a record of the kernels that ran."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import kernels, short_sentences, varlen
from .packing import Packing, Rule

SHORT, GROUPS, LENGTHS = "short sentences", "padded groups", "by length"
"""The kernels besides those of `varlen.py`: of `short_sentences.py`, and of `kernels.py`."""

_GROUPED_DEVICES = ("cuda",)
"""Where the number of calls costs more than a little padding."""


class Choice(NamedTuple):
    """The kernel for a call."""

    kernel: str
    reason: str | None
    """Why no kernel for many lengths computes it, or none for short sentences; None if one does."""
    is_noteworthy: bool
    """Whether the device has kernels for many lengths, and none of them is used."""


class KernelRecord:
    """Which kernel computed the attention of each kind of block, and how often."""

    def __init__(self) -> None:
        self._calls: dict[str, Counter[Choice]] = {}
        self._noted: set[str] = set()

    def add(self, kind: str, choice: Choice) -> None:
        """Record one call."""
        self._calls.setdefault(kind, Counter())[choice] += 1

    def clear(self) -> None:
        """Forget all calls, but not what was noted."""
        self._calls.clear()

    @property
    def kernels(self) -> list[str]:
        """The names of all kernels that ran."""
        return sorted({choice.kernel for calls in self._calls.values() for choice in calls})

    def as_json(self) -> dict[str, Any]:
        """`{kind: {"kernel", "reason", "calls"}}`, with `others` if several kernels ran; the most used one is named."""
        result: dict[str, Any] = {}
        for kind, calls in sorted(self._calls.items()):
            (first, count), *others = calls.most_common()
            result[kind] = {"kernel": first.kernel, "reason": first.reason, "calls": count}
            if others:
                result[kind]["others"] = [
                    {"kernel": choice.kernel, "reason": choice.reason, "calls": count}
                    for choice, count in others
                ]
        return result

    def new_notes(self) -> list[str]:
        """One sentence for each kernel that ran although its device has faster ones; each is returned once."""
        reasons: dict[str, list[str]] = {}
        for kind, calls in sorted(self._calls.items()):
            for choice in calls:
                if choice.is_noteworthy:
                    reasons.setdefault(f"`{choice.kernel}` ({choice.reason})", []).append(kind)
        notes = {
            about: f"attention of {', '.join(kinds)} blocks: no variable-length kernel, but {about}"
            for about, kinds in reasons.items()
            if about not in self._noted
        }
        self._noted |= notes.keys()
        return list(notes.values())


def kind_of(rule: Rule, softcap: float | None, sinks: Tensor | None) -> str:
    """The kind of a block, such as `causal`, or `unmasked, window, soft cap`."""
    return _kind(rule.causal, rule.window is not None, softcap is not None, sinks is not None)


@functools.cache
def _kind(causal: bool, windowed: bool, has_softcap: bool, has_sinks: bool) -> str:
    parts = ["causal" if causal else "unmasked"]
    named = {"window": windowed, "soft cap": has_softcap, "sinks": has_sinks}
    return ", ".join(parts + [name for name, is_present in named.items() if is_present])


def attend(
    record: KernelRecord | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention within each sentence by the fastest kernel that can. [1, H, T, D], [1, K, T, D] → [1, T, H, D]."""
    call = varlen.Call(
        query.device, query.dtype, query.shape[1], key.shape[1], query.shape[3], value.shape[3],
        rule.causal, rule.window is not None, scaling, softcap,
    )  # fmt: skip
    is_short = short_sentences.supports(query, packing)
    choice = _choose(call, dropout > 0, sinks is not None, is_short, len(packing.runs) > 1)
    if record is not None:
        record.add(kind_of(rule, softcap, sinks), choice)
    if choice.kernel == SHORT:
        return short_sentences.attend(query, key, value, packing, rule, scaling, dropout)
    plain = _PLAIN.get(choice.kernel)
    if plain is not None:
        return plain(query, key, value, packing, rule, scaling, dropout, softcap, sinks)
    kernel = varlen.usable_kernel(call)
    assert kernel is not None
    return varlen.attend(kernel, query, key, value, packing, rule, scaling, softcap)


def attend_with_bias(
    record: KernelRecord | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    rule: Rule,
    within: Rule,
    bias: Tensor,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention with a bias on the scores that `rule` has and `within` has not: while a mask is learned."""
    if record is not None:
        kind = kind_of(rule, softcap, sinks).replace("unmasked", "learned")
        record.add(kind, Choice(GROUPS, "a bias that is trained", False))
    return kernels.with_bias(query, key, value, packing, rule, within, bias, scaling, dropout, softcap, sinks)


_PLAIN: dict[str, Callable[..., Tensor]] = {GROUPS: kernels.by_group, LENGTHS: kernels.by_length}


@functools.cache
def _choose(
    call: varlen.Call, has_dropout: bool, has_sinks: bool, is_short: bool, has_lengths: bool
) -> Choice:
    """The choice for a call; `has_lengths` says that its sentences differ in length."""
    has_kernels = varlen.exist_for(call.device)
    reason: str | None = None
    if has_kernels:
        if has_dropout:
            reason = "no such kernel drops attention weights at random"
        elif has_sinks:
            reason = "no such kernel has attention sinks"
        else:
            kernel = varlen.usable_kernel(call)
            if kernel is not None:
                return Choice(kernel.name, None, False)
            reason = varlen.faults(call)
    if is_short and call.softcap is None and not has_sinks:
        return Choice(SHORT, reason, has_kernels)
    if reason is None:
        reason = _not_short(call, has_sinks)
    grouped = call.device.type in _GROUPED_DEVICES and has_lengths
    return Choice(GROUPS if grouped else LENGTHS, reason, has_kernels)


def _not_short(call: varlen.Call, has_sinks: bool) -> str:
    """Why the kernel for short sentences does not compute a call."""
    if call.softcap is not None:
        return "soft-capped scores"
    if has_sinks:
        return "attention sinks"
    if call.device.type != "cpu":
        return f"no variable-length kernel for the device {call.device.type}"
    return "a sentence is long" if call.dtype == torch.float32 else f"{varlen.name_of(call.dtype)} on a CPU"


@contextmanager
def registered(*own: varlen.VarlenKernel) -> Iterator[None]:
    """Try these kernels for many lengths before all others inside the context; tests do so with kernels for the CPU."""
    before = list(varlen.KERNELS)
    varlen.KERNELS[:0] = own
    _forget()
    try:
        yield
    finally:
        varlen.KERNELS[:] = before
        _forget()


def _forget() -> None:
    for function in (_choose, varlen.usable_kernel, varlen.fault, varlen.exist_for):
        function.cache_clear()
