"""Kernels for many lengths in one call are tried out against plain attention before they are used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sltk.nn import varlen
from sltk.nn.kernels import by_length
from sltk.nn.packing import Packing, Rule

CPU = torch.device("cpu")
RULES = [Rule(causal, window) for causal in (True, False) for window in (None, 3)]


def kernel(*, causal: bool | None = None, windows: bool = True, divided: bool = True) -> varlen.Kernel:
    """A kernel with the signature of the real ones; the settings give it a fault."""

    def run(
        q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int, window: Any, scaling: Any
    ) -> Tensor:
        lengths = bounds.diff().tolist() if divided else [int(bounds[-1])]
        assert longest == max(bounds.diff().tolist())
        reach = window[0] + 1 if windows and window[0] >= 0 else None
        rule = Rule(window[1] == 0 if causal is None else causal, reach)
        packed = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
        return by_length(*packed, Packing.of_lengths(lengths), rule, scaling)[0]

    return run


@pytest.mark.parametrize("rule", RULES)
def test_a_right_kernel_agrees_with_plain_attention(rule: Rule) -> None:
    """Outputs and gradients, with and without a causal mask and a window, heads grouped."""
    assert varlen.difference(kernel(), rule, CPU, torch.float32) < 1e-6


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (kernel(causal=True), Rule(False, None)),
        (kernel(causal=False), Rule(True, None)),
        (kernel(windows=False), Rule(True, 3)),
        (kernel(windows=False), Rule(False, 3)),
        (kernel(divided=False), Rule(False, None)),
    ],
)
def test_a_kernel_that_ignores_mask_window_or_sentences_is_found_out(
    wrong: varlen.Kernel, rule: Rule
) -> None:
    """The difference is far above what half precision may round."""
    assert varlen.difference(wrong, rule, CPU, torch.float32) > 0.1


def test_a_kernel_is_tried_out_in_inference_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks first is the proof of the mask, without gradients; what it leaves behind can be trained with."""
    seen = []

    def right(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, *rest: Any) -> Tensor:
        seen.append(bounds)
        return kernel()(q, k, v, bounds, *rest)

    monkeypatch.setattr(varlen, "_KERNELS", {"right": right})
    monkeypatch.setattr(varlen, "_supports_device", lambda device, dtype: True)
    x = torch.randn(1, 2, 11, 64)
    _forget()
    with torch.inference_mode():
        assert varlen.fault("right", CPU, torch.float32) is None
        assert varlen.usable_kernel(CPU, torch.float32) == "right"
        varlen.attend(x, x, x, Packing.of_lengths((5, 6)), Rule(True, None), None)
    assert not any(bounds.is_inference() for bounds in seen)
    _forget()


def _forget() -> None:
    """What was found out of kernels before."""
    for found in (varlen.fault, varlen.usable_kernel, varlen._bounds):
        found.cache_clear()


def test_on_a_cpu_no_such_kernel_is_chosen() -> None:
    """And the reason can be asked for."""
    assert varlen.usable_kernel(CPU, torch.bfloat16) is None
    assert varlen.fault("torch varlen", CPU, torch.bfloat16) == "needs a GPU and half precision"
