"""Aligners: subword vectors to word vectors, compared with a plain loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import sltk.components.backbones  # noqa: F401
from sltk.components.registry import registry

NAIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "first_subword": lambda word: word[0],
    "last_subword": lambda word: word[-1],
    "mean": lambda word: word.mean(0),
    "first_last": lambda word: (word[0] + word[-1]) / 2,
    "max": lambda word: word.amax(0),
}


def built(name: str) -> torch.nn.Module:
    return registry.find("aligner", name)().build()  # type: ignore[attr-defined, no-any-return]


def by_loop(name: str, vectors_TH: Tensor, first: list[int], last: list[int]) -> Tensor:
    return torch.stack([NAIVE[name](vectors_TH[a : b + 1]) for a, b in zip(first, last, strict=True)])


def layout(words: list[tuple[int, int]]) -> tuple[list[int], list[int], int]:
    """First and last positions of words given as (tokens before the word, own subwords), and the number of tokens."""
    first, last, position = [], [], 0
    for before, size in words:
        first.append(position + before)
        last.append(position + before + size - 1)
        position += before + size
    return first, last, position + 1


def test_every_registered_aligner_is_tested_here() -> None:
    """A new aligner needs a loop in this file."""
    own = {name for name, part in registry.slot("aligner").items() if part.__module__.startswith("sltk.")}
    assert own == set(NAIVE)


@settings(max_examples=40)
@given(
    words=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=8),
    seed=st.integers(0, 9),
)
@pytest.mark.parametrize("name", NAIVE)
def test_an_aligner_and_its_gradient_equal_the_plain_loop(
    name: str, words: list[tuple[int, int]], seed: int
) -> None:
    """Words have any number of subwords, and tokens that belong to no word between them."""
    first, last, tokens = layout(words)
    vectors_TH = torch.randn(tokens, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ours, theirs = vectors_TH.clone().requires_grad_(), vectors_TH.clone().requires_grad_()
    result = built(name)(ours, torch.tensor(first), torch.tensor(last))
    expected = by_loop(name, theirs, first, last)
    assert torch.allclose(result, expected)
    for pooled in (result, expected):
        (pooled * torch.cos(torch.arange(pooled.numel())).reshape(pooled.shape)).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAIVE)
def test_half_precision_gives_half_precision(name: str, dtype: torch.dtype) -> None:
    """Vectors of a half-precision model are pooled in their own dtype."""
    first, last, tokens = layout([(1, 3), (0, 1), (0, 4)])
    vectors_TH = torch.randn(tokens, 8, generator=torch.Generator().manual_seed(0))
    result = built(name)(vectors_TH.to(dtype), torch.tensor(first), torch.tensor(last))
    assert result.dtype == dtype
    assert torch.allclose(result.float(), by_loop(name, vectors_TH, first, last), atol=0.02)


@pytest.mark.parametrize("name", NAIVE)
def test_tokens_of_no_word_get_no_gradient(name: str) -> None:
    """Tokens before a word (a separator, white space) do not affect its vector."""
    first, last, tokens = layout([(1, 2), (1, 1)])
    vectors_TH = torch.randn(tokens, 4, requires_grad=True)
    built(name)(vectors_TH, torch.tensor(first), torch.tensor(last)).sum().backward()
    assert vectors_TH.grad is not None
    assert not vectors_TH.grad[[0, 3, 5]].any()
