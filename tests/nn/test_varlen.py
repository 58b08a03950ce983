"""Kernels for many lengths in one call are compared with plain attention before they are used."""

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


def kernel(*, causal: bool | None = None, windows: bool = True, by_sentence: bool = True) -> varlen.Kernel:
    """A kernel with the signature of the real ones; the arguments make it faulty."""

    def run(
        q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int, window: Any, scaling: Any
    ) -> Tensor:
        lengths = bounds.diff().tolist() if by_sentence else [int(bounds[-1])]
        assert longest == max(bounds.diff().tolist())
        reach = window[0] + 1 if windows and window[0] >= 0 else None
        rule = Rule(window[1] == 0 if causal is None else causal, reach)
        packed = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
        return by_length(*packed, Packing.of_lengths(lengths), rule, scaling)[0]

    return run


@pytest.mark.parametrize("rule", RULES)
def test_a_correct_kernel_agrees_with_plain_attention(rule: Rule) -> None:
    """Outputs and gradients agree, with and without causal mask and window, with grouped heads."""
    assert varlen.difference(kernel(), rule, CPU, torch.float32) < 1e-6


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (kernel(causal=True), Rule(False, None)),
        (kernel(causal=False), Rule(True, None)),
        (kernel(windows=False), Rule(True, 3)),
        (kernel(windows=False), Rule(False, 3)),
        (kernel(by_sentence=False), Rule(False, None)),
    ],
)
def test_a_kernel_that_ignores_mask_window_or_sentences_is_rejected(wrong: varlen.Kernel, rule: Rule) -> None:
    """The difference is far larger than rounding in half precision."""
    assert varlen.difference(wrong, rule, CPU, torch.float32) > 0.1


def test_a_kernel_is_tested_in_inference_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof of the mask calls it first, without gradients; the cached tensors must work in training."""
    cached_bounds = []

    def correct(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, *rest: Any) -> Tensor:
        cached_bounds.append(bounds)
        return kernel()(q, k, v, bounds, *rest)

    monkeypatch.setattr(varlen, "_KERNELS", {"correct": correct})
    monkeypatch.setattr(varlen, "_supports_device", lambda device, dtype: True)
    x = torch.randn(1, 2, 11, 64)
    _clear_caches()
    with torch.inference_mode():
        assert varlen.fault("correct", CPU, torch.float32) is None
        assert varlen.usable_kernel(CPU, torch.float32) == "correct"
        varlen.attend(x, x, x, Packing.of_lengths((5, 6)), Rule(True, None), None)
    assert not any(bounds.is_inference() for bounds in cached_bounds)
    _clear_caches()


def _clear_caches() -> None:
    """Clear the cached results of earlier tests."""
    for function in (varlen.fault, varlen.usable_kernel, varlen._bounds):
        function.cache_clear()


def test_no_kernel_is_usable_on_a_cpu() -> None:
    """`fault` gives the reason."""
    assert varlen.usable_kernel(CPU, torch.bfloat16) is None
    assert varlen.fault("torch varlen", CPU, torch.bfloat16) == "needs a GPU and half precision"
