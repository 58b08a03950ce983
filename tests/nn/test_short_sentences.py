"""Attention of short sentences in padded groups, and its gradient, equal those of each sentence alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sltk.nn import short_sentences
from sltk.nn.kernels import by_length
from sltk.nn.packing import Packing, Rule

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)
RULES = st.builds(Rule, st.booleans(), st.none() | st.integers(1, 9))


def tensors(tokens: int, heads: int, key_heads: int, size: int = 8, value_size: int = 8) -> list[Tensor]:
    """Queries, keys and values, in the memory layout of projections."""
    torch.manual_seed(tokens)
    sizes = [(heads, size), (key_heads, size), (key_heads, value_size)]
    return [torch.randn(1, tokens, h, d).transpose(1, 2).requires_grad_() for h, d in sizes]


def agree(packing: Packing, rule: Rule, qkv: list[Tensor], scaling: float | None = None) -> bool:
    """Whether results and gradients equal those of one call per length."""
    results = []
    for attend in (by_length(*qkv, packing, rule, scaling), run(qkv, packing, rule, scaling)):
        weights = torch.linspace(0, 9, attend.numel()).sin().view(attend.shape)
        results.append([attend, *torch.autograd.grad((attend * weights).sum(), qkv)])
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*results, strict=True))


def run(
    qkv: list[Tensor], packing: Packing, rule: Rule, scaling: float | None = None, p: float = 0.0
) -> Tensor:
    return short_sentences.attend(*qkv, packing, rule, scaling, p)


@given(lengths=LENGTHS, rule=RULES, heads=st.sampled_from([(2, 2), (4, 2), (3, 1)]), is_sorted=st.booleans())
@settings(max_examples=150)
def test_groups_give_the_results_of_single_sentences(
    lengths: list[int], rule: Rule, heads: tuple[int, int], is_sorted: bool
) -> None:
    packing = Packing.of_lengths(sorted(lengths) if is_sorted else lengths)
    assert agree(packing, rule, tensors(packing.tokens, *heads))


def test_values_may_have_another_size_and_scores_another_scale() -> None:
    packing = Packing.of_lengths([2, 5, 6])
    assert agree(packing, Rule(True, None), tensors(13, 4, 2, size=6, value_size=10), scaling=0.7)


def test_heads_may_lie_apart() -> None:
    """After rotary positions, the tokens of each head are contiguous."""
    packing = Packing.of_lengths([3, 4])
    apart = [x.detach().contiguous().requires_grad_() for x in tensors(7, 4, 2)]
    assert agree(packing, Rule(False, None), apart)


def test_sentences_of_many_lengths_share_a_few_groups() -> None:
    """The share of padded rows stays small."""
    lengths = [2, 3, 5, 6, 6, 6, 10, 10, 11, 15, 22, 25, 25, 26, 31, 32]
    groups = short_sentences._plan(Packing.of_lengths(lengths), Rule(False, None), 1, 1).groups
    assert len(groups) < len(set(lengths)) / 2
    rows = sum(group.shape[0] * group.shape[1] for group in groups)
    assert sum(lengths) <= rows < 1.5 * sum(lengths)


def test_long_sentences_are_not_supported() -> None:
    query = torch.zeros(1, 2, 130, 8)
    assert short_sentences.supports(query[:, :, :60], Packing.of_lengths([30, 30]))
    assert not short_sentences.supports(query, Packing.of_lengths([1, 129]))
    assert not short_sentences.supports(query.double(), Packing.of_lengths([65, 65]))


def test_dropout_removes_weights_and_keeps_the_mean() -> None:
    """If all values are equal, the result of a row is the sum of its remaining weights."""
    packing, p = Packing.of_lengths([20] * 50), 0.25
    query, key, value = (x.detach() for x in tensors(1000, 2, 2))
    torch.manual_seed(1)
    result = run([query, key, torch.ones_like(value)], packing, Rule(False, None), p=p)
    assert result.mean().item() == pytest.approx(1.0, abs=0.01)
    assert result.std() > 0.05
    assert torch.equal(result, result[..., :1].expand_as(result))


def test_the_gradient_uses_the_same_dropout() -> None:
    """A small step along each gradient changes the result as predicted, with the same dropout."""
    packing, rule = Packing.of_lengths([4, 7, 7]), Rule(True, None)
    qkv = tensors(18, 4, 2)
    weights = torch.linspace(0, 9, 18 * 4 * 8).sin().view(1, 18, 4, 8)

    def result(parts: list[Tensor]) -> Tensor:
        torch.manual_seed(2)
        return (run(parts, packing, rule, p=0.3) * weights).sum()

    for number, gradient in enumerate(torch.autograd.grad(result(qkv), qkv)):
        step = 1e-2 * gradient / gradient.norm()
        plus, minus = (
            result([x.detach() + sign * step if i == number else x.detach() for i, x in enumerate(qkv)])
            for sign in (1, -1)
        )
        assert (plus - minus).item() / 2 == pytest.approx((gradient * step).sum().item(), rel=0.02)


def test_a_plan_cached_by_prediction_works_in_training() -> None:
    """Tensors cached in inference mode can be used for training on the same batch."""
    packing, rule = Packing.of_lengths([3, 9, 11]), Rule(True, None)
    qkv = tensors(23, 6, 3)
    with torch.inference_mode():
        run(qkv, packing, rule)
    assert agree(packing, rule, qkv)
