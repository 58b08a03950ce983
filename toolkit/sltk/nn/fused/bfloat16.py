"""bfloat16 operands of matrix products on a CPU: weights and inputs are rounded, everything around stays float32.

Processors with AVX512-BF16 or AMX multiply bfloat16 at about twice the rate of float32, and add the products up in
float32. oneDNN does not use these instructions for float32 tensors, except with AMX, so operands are rounded here. A
frozen weight is rounded once, a trained weight whenever it is used. The float32 weights stay: they are what is trained,
saved, merged and exported.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_copies: Any = WeakTensorKeyDictionary()
"""((version, address), copy) of each frozen weight. Runs of a sweep share weights, and so the copies."""
_last = threading.local()
"""The input that this thread rounded last."""


def rounded_weight(weight: Tensor) -> Tensor:
    """A weight in bfloat16; a frozen one is rounded only once."""
    if weight.requires_grad or weight.is_inference():
        return weight.detach().bfloat16()
    state = (weight._version, weight.data_ptr())
    cached = _copies.get(weight)
    if cached is None or cached[0] != state:
        with torch.inference_mode(False), torch.no_grad():
            cached = state, weight.detach().bfloat16()
        _copies[weight] = cached
    copy: Tensor = cached[1]
    return copy


def forget(weight: Tensor) -> None:
    """Drop the copy of a weight whose version does not show a change, because `weight.data` was changed."""
    _copies.pop(weight, None)


def rounded_input(x: Tensor) -> Tensor:
    """An input in bfloat16; layers that read the same tensor in turn, such as q, k and v, share the copy."""
    if x.is_inference():  # has no version, so a change in place would not be noticed
        return x.bfloat16()
    last = getattr(_last, "value", None)
    if last is not None and last[0]() is x and last[1] == x._version:
        shared: Tensor = last[2]
        return shared
    copy = x.detach().bfloat16()
    _last.value = weakref.ref(x), x._version, copy
    return copy
