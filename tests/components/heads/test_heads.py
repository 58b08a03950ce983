"""Behaviour that all heads share."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from sltk.components.heads import CrfHead, LinearHead, MlpHead
from sltk.components.slots import Head
from sltk.schemes.labels import LabelSet

LABELS = LabelSet(("O", "B-A", "I-A", "B-B", "I-B"), "IOB2")
HEADS = [LinearHead(), MlpHead(hidden=[6, 5]), CrfHead()]
LENGTHS = [3, 0, 1, 4]
VECTORS = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
TAGS = torch.tensor([1, 2, 0, 0, 0, 3, 4, 0])

every_head = pytest.mark.parametrize("head", HEADS, ids=lambda head: head.type_name)


@every_head
def test_decode_gives_one_tag_and_probability_per_word(head: Head) -> None:
    """Every word gets one tag number and a probability."""
    tags, scores = head.build(16, LABELS).eval().decode(VECTORS, LENGTHS)
    assert tags.shape == scores.shape == (8,)
    assert tags.dtype == torch.long
    assert 0 <= tags.min() <= tags.max() < len(LABELS)
    assert 0 < scores.min() <= scores.max() <= 1


@every_head
def test_an_ignored_sentence_adds_no_loss(head: Head) -> None:
    """The loss is a sum; a sentence whose tags are all -100 does not change it."""
    module = head.build(16, LABELS).eval()
    tags = TAGS.clone()
    tags[4:] = -100
    total, partial = module.loss(VECTORS, tags, LENGTHS), module.loss(VECTORS[:4], tags[:4], [3, 0, 1])
    torch.testing.assert_close(total, partial)
    torch.testing.assert_close(module.loss(VECTORS[4:], tags[4:], [4]), torch.tensor(0.0))


@every_head
@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_a_batch_without_words_has_no_loss(head: Head, lengths: list[int]) -> None:
    """A batch without words has a differentiable loss of 0, and no tags."""
    module = head.build(16, LABELS)
    loss = module.loss(VECTORS[:0].requires_grad_(), TAGS[:0], lengths)
    loss.backward()
    assert loss.item() == 0
    assert [len(part) for part in module.decode(VECTORS[:0], lengths)] == [0, 0]


@every_head
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_heads_compute_in_float32(head: Head, dtype: torch.dtype) -> None:
    """Vectors in half precision give exactly the same results as in float32, also under autocast."""
    module = head.build(16, LABELS).eval()
    vectors = VECTORS.to(dtype)
    expected = module.loss(vectors.float(), TAGS, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        loss, scores = module.loss(vectors, TAGS, LENGTHS), module.decode(vectors, LENGTHS)[1]
    assert loss.dtype == scores.dtype == torch.float32
    assert torch.equal(loss, expected)


@every_head
def test_gradients_reach_the_vectors_of_half_precision(head: Head) -> None:
    """A bfloat16 backbone gets bfloat16 gradients from a float32 head."""
    vectors = VECTORS.bfloat16().requires_grad_()
    head.build(16, LABELS).loss(vectors, TAGS, LENGTHS).backward()
    assert vectors.grad is not None
    assert vectors.grad.dtype == torch.bfloat16
    assert (vectors.grad != 0).any(1).all()


@every_head
def test_a_head_can_be_learnt(head: Head) -> None:
    """After forty optimizer steps on eight words, the gold tags are the best ones."""
    torch.manual_seed(0)
    module = head.model_copy(update={"dropout": 0.0}).build(16, LABELS)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        module.loss(VECTORS, TAGS, LENGTHS).backward()
        optimizer.step()
    tags, scores = module.eval().decode(VECTORS, torch.tensor(LENGTHS))
    assert tags.tolist() == TAGS.tolist()
    assert scores.min() > 0.9


@every_head
def test_dropout_is_for_training_only(head: Head) -> None:
    """Two passes differ in training mode and agree in evaluation mode."""
    torch.manual_seed(0)
    module = head.model_copy(update={"dropout": 0.5}).build(16, LABELS)
    assert module.loss(VECTORS, TAGS, LENGTHS) != module.loss(VECTORS, TAGS, LENGTHS)
    module.eval()
    assert module.loss(VECTORS, TAGS, LENGTHS) == module.loss(VECTORS, TAGS, LENGTHS)


def test_linear_is_a_softmax_classifier() -> None:
    """The linear head's loss is the cross-entropy of one linear layer, its score the softmax probability."""
    head = LinearHead(dropout=0).build(16, LABELS)
    weight, bias = (parameter.detach() for parameter in head.parameters())
    log_p = (VECTORS @ weight.T + bias).log_softmax(-1)
    torch.testing.assert_close(head.loss(VECTORS, TAGS, LENGTHS), -log_p[torch.arange(8), TAGS].sum())
    torch.testing.assert_close(head.decode(VECTORS, LENGTHS)[1], log_p.exp().max(-1).values)


def test_mlp_layers_have_the_given_sizes() -> None:
    """`hidden: [6, 5]` makes two hidden layers of these widths."""
    shapes = [tuple(p.shape) for p in MlpHead(hidden=[6, 5]).build(16, LABELS).parameters() if p.dim() == 2]
    assert shapes == [(6, 16), (5, 6), (5, 5)]


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "tanh"])
def test_mlp_activations_differ_from_none(activation: str) -> None:
    """With every activation, the head is not linear in its input."""
    head = MlpHead(activation=activation, dropout=0).build(16, LABELS)
    one, two = head.scorer(VECTORS), head.scorer(2 * VECTORS)
    zero = head.scorer(torch.zeros_like(VECTORS))
    assert not torch.allclose(two - zero, 2 * (one - zero), atol=1e-3)


@pytest.mark.parametrize("fields", [{"dropout": 1.0}, {"dropout": -0.1}, {"hiden": [3]}])
def test_heads_reject_invalid_options(fields: dict[str, object]) -> None:
    """A dropout outside [0, 1) and unknown options are errors when the spec is read."""
    with pytest.raises(ValidationError):
        LinearHead(**fields)


@pytest.mark.parametrize("hidden", [[], [0], [8, -1]])
def test_mlp_rejects_impossible_sizes(hidden: list[int]) -> None:
    """No hidden layer, or one without units, is an error."""
    with pytest.raises(ValidationError):
        MlpHead(hidden=hidden)


def test_heads_are_validated_without_torch() -> None:
    """Importing and validating heads, splitters and writers imports no torch: `sltk check` stays instant."""
    code = (
        "import sys; from sltk.components import heads, splitters, writers; heads.CrfHead(dropout=0.2); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
