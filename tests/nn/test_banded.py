"""The band of a window gives the attention of the full mask, for long sentences of any length."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sltk.nn import banded
from sltk.nn.kernels import by_length
from sltk.nn.packing import Packing, Rule


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize(
    ("lengths", "window"), [((400,), 1), ((300, 300, 7), 3), ((400, 129), 66), ((384,), 65), ((500,), 84)]
)
def test_a_band_equals_the_full_mask(
    lengths: tuple[int, ...], window: int, causal: bool, special: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and gradients, with grouped heads, soft-capped scores and sinks."""
    packing, rule = Packing.of_lengths(lengths), Rule(causal, window)
    draw = torch.Generator().manual_seed(0)
    qkv = [
        torch.randn(1, heads, packing.tokens, 8, generator=draw, requires_grad=True) for heads in (4, 2, 2)
    ]
    more: dict[str, Any] = {"softcap": 2.0, "sinks": torch.randn(4, generator=draw)} if special else {}
    results = []
    assert banded.is_cheaper(rule, max(lengths))
    for _ in range(2):
        out = by_length(*qkv, packing, rule, **more)
        results.append([out, *torch.autograd.grad(out.square().sum(), qkv)])
        monkeypatch.setattr(banded, "is_cheaper", lambda *_: False)
    for band, full in zip(*results, strict=True):
        torch.testing.assert_close(band, full, rtol=1e-5, atol=1e-5)


def test_a_band_computes_at_most_half_of_the_scores() -> None:
    assert not banded.is_cheaper(Rule(False, None), 10_000)
    assert not banded.is_cheaper(Rule(False, 65), 383)
    rule, length = Rule(False, 65), 384
    assert banded.is_cheaper(rule, length)
    x_NHLD = torch.zeros(1, 1, length, 1)
    q, k, _, mask = banded.chunks(x_NHLD, x_NHLD, x_NHLD, rule)
    assert mask.numel() == q.shape[0] * q.shape[2] * k.shape[2] <= length**2 // 2
