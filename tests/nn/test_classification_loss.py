"""The loss of independent items against sums that are written out in float64, item by item."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from sltk.nn.classification_loss import ClassificationLoss

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)) * 3
CLASSES = [2, 0, -100, 3, 0, 1]
WEIGHTS = [0.25, 1.0, 3.0, 0.0]


def written_out(
    scores: torch.Tensor,
    weights: list[float] | None,
    gamma: float,
    smoothing: float,
    allowed: list[list[bool]] | None = None,
) -> float:
    """The sum over the items, in plain Python."""
    total = 0.0
    for number, (row, gold) in enumerate(zip(scores.double().tolist(), CLASSES, strict=True)):
        if gold == -100:
            continue
        z = sum(math.exp(score) for score in row)
        p = [math.exp(score) / z for score in row]
        members = [gold] if allowed is None else [c for c, yes in enumerate(allowed[number]) if yes]
        own = sum(p[c] for c in members)
        loss = -((1 - own) ** gamma) * (1 - smoothing) * math.log(own)
        loss -= smoothing * sum(map(math.log, p)) / len(p)
        total += (1.0 if weights is None else weights[gold]) * loss
    return total


KINDS = [("cross_entropy", 2.0, 0.0), ("cross_entropy", 2.0, 0.2), ("focal", 0.0, 0.0), ("focal", 1.5, 0.0)]


@pytest.mark.parametrize(("weights", "kind"), [*product([None, WEIGHTS], KINDS)])
def test_loss_equals_the_sum_written_out(weights: list[float] | None, kind: tuple[str, float, float]) -> None:
    """Each combination of weights, focal loss and smoothing, with known and with partly known classes."""
    name, gamma, smoothing = kind
    criterion = ClassificationLoss(weights, name, gamma, smoothing)  # type: ignore[arg-type]
    exponent = gamma if name == "focal" else 0.0
    expected = written_out(SCORES, weights, exponent, smoothing)
    assert criterion(SCORES, torch.tensor(CLASSES)).item() == pytest.approx(expected, rel=1e-5)
    one_hot = torch.arange(4) == torch.tensor(CLASSES).unsqueeze(1)
    assert criterion(SCORES, torch.tensor(CLASSES), one_hot).item() == pytest.approx(expected, rel=1e-5)
    partly = one_hot | torch.tensor([False, False, True, True])
    expected = written_out(SCORES, weights, exponent, smoothing, partly.tolist())
    partly[2] = False  # an ignored item may have no class at all
    scores = SCORES.clone().requires_grad_()
    total = criterion(scores, torch.tensor(CLASSES), partly)
    assert total.item() == pytest.approx(expected, rel=1e-5)
    total.backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert not scores.grad[2].any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_the_loss(kind: tuple[str, float, float]) -> None:
    """The gradient agrees with finite differences in float64."""
    name, gamma, smoothing = kind
    criterion = ClassificationLoss(WEIGHTS, name, gamma, smoothing).double()  # type: ignore[arg-type]
    scores = SCORES.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: criterion(values, torch.tensor(CLASSES)), scores)


def test_plain_cross_entropy_is_that_of_torch_bit_for_bit() -> None:
    """Without options, the loss and its gradient are those of torch's cross-entropy, bit for bit."""
    ours, theirs = SCORES.clone().requires_grad_(), SCORES.clone().requires_grad_()
    loss = ClassificationLoss()(ours, torch.tensor(CLASSES))
    expected = F.cross_entropy(theirs, torch.tensor(CLASSES), ignore_index=-100, reduction="sum")
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("margin", [0.0, 20.0, 200.0, -200.0])
def test_focal_loss_of_certain_words_has_a_finite_gradient(gamma: float, margin: float) -> None:
    """A probability that rounds to 0 or 1 gives no infinite and no undefined gradient."""
    scores = torch.tensor([[margin, 0.0]], requires_grad=True)
    loss = ClassificationLoss(None, "focal", gamma)(scores, torch.tensor([0]))
    loss.backward()
    assert scores.grad is not None
    assert loss.isfinite()
    assert scores.grad.isfinite().all()


def test_weights_do_not_change_the_class_that_smoothing_prefers() -> None:
    """The loss of an item is lowest at the smoothed target, however rare and heavy another class is.

    torch's cross-entropy weighs each class of the target instead: there, the heavy class would be the most probable.
    """
    best = torch.tensor([[0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]])
    scores = best.log().requires_grad_()
    ClassificationLoss([0.1, 1.0, 1000.0], smoothing=0.1)(scores, torch.tensor([0])).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(1, 3))
