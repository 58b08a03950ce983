"""The CRF against enumeration of every path: likelihood, best path, marginals."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import decoding
from sltk.components.heads import CrfHead
from sltk.nn.crf_head import Crf
from sltk.schemes.labels import LabelSet

IGNORED = -100
LENGTHS = [3, 0, 1, 4, 4, 2, 0]


def allow_all(labels: int) -> tuple[list[bool], list[list[bool]], list[bool]]:
    return [True] * labels, [[True] * labels] * labels, [True] * labels


def random_crf(labels: int, seed: int, forbid: float = 0.0) -> Crf:
    """Random transitions, some of them forbidden, but never those from and to tag 0."""
    torch.manual_seed(seed)
    start, pairs, end = (torch.rand(shape) >= forbid for shape in [(labels,), (labels, labels), (labels,)])
    start[0] = end[0] = True
    pairs[0, :] = pairs[:, 0] = True
    crf = Crf(start.tolist(), pairs.tolist(), end.tolist()).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def paths(crf: Crf, emissions: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The score of every allowed path of one sentence, by definition."""
    scores = {}
    start, pair_scores, end = (scores.detach() for scores in (crf.start, crf.pairs, crf.end))
    for path in product(range(emissions.shape[1]), repeat=len(emissions)):
        pairs = list(pairwise(path))
        if crf.no_start[path[0]] or crf.no_end[path[-1]] or any(crf.no_pair[pair] for pair in pairs):
            continue
        score = start[path[0]] + end[path[-1]] + sum(pair_scores[pair] for pair in pairs)
        scores[path] = float(score + sum(emissions[place, tag] for place, tag in enumerate(path)))
    return scores


def log_sum(scores: list[float]) -> float:
    return float(torch.tensor(scores, dtype=torch.double).logsumexp(0))


def sentences(lengths: list[int], labels: int, scale: float = 1.0) -> list[torch.Tensor]:
    return [scale * torch.randn(length, labels, dtype=torch.double) for length in lengths]


@given(
    st.lists(st.integers(0, 4), max_size=5),
    st.integers(1, 3),
    st.integers(0, 9999),
    st.sampled_from([0, 0.4]),
)
@settings(max_examples=40)
def test_likelihood_equals_enumeration(lengths: list[int], labels: int, seed: int, forbid: float) -> None:
    """The loss of a batch of different lengths is the sum of -log p(path) over its sentences, by enumeration."""
    crf = random_crf(labels, seed, forbid)
    batch = sentences(lengths, labels)
    expected, gold = 0.0, []
    for emissions in batch:
        if len(emissions):
            scores = paths(crf, emissions)
            path = list(scores)[seed % len(scores)]
            expected += log_sum(list(scores.values())) - scores[path]
            gold += path
    packed = torch.cat([torch.zeros(0, labels), *batch])
    loss = crf.negative_log_likelihood(packed, torch.tensor(gold).long(), lengths)
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 9999), st.sampled_from([0, 0.4]))
@settings(max_examples=20)
def test_ignored_words_are_summed_over(seed: int, forbid: float) -> None:
    """A word whose tag is -100 may have any tag, so all paths that agree with the known tags count."""
    crf = random_crf(3, seed, forbid)
    batch = sentences(LENGTHS, 3)
    expected, gold = 0.0, []
    for emissions in batch:
        scores = paths(crf, emissions) if len(emissions) else {(): 0.0}
        path = list(scores)[seed % len(scores)]
        known = [tag if float(torch.rand(())) < 0.5 else IGNORED for tag in path]
        agreeing = [
            s for p, s in scores.items() if all(k in (IGNORED, t) for k, t in zip(known, p, strict=True))
        ]
        expected += log_sum(list(scores.values())) - log_sum(agreeing)
        gold += known
    loss = crf.negative_log_likelihood(torch.cat(batch), torch.tensor(gold), LENGTHS)
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 9999), st.sampled_from([0, 0.4]), st.sampled_from([1.0, 300.0]))
@settings(max_examples=30)
def test_best_path_equals_enumeration(seed: int, forbid: float, scale: float) -> None:
    """The decoded path of each sentence has the highest score of all allowed paths."""
    crf = random_crf(3, seed, forbid)
    batch = sentences(LENGTHS, 3, scale)
    expected: list[int] = []
    for emissions in batch:
        scores = paths(crf, emissions) if len(emissions) else {(): 0.0}
        expected += max(scores, key=lambda path: scores[path])
    assert decoding.best_paths(torch.cat(batch).numpy(), LENGTHS, crf.transitions()).tolist() == expected


@given(st.integers(0, 9999), st.sampled_from([0, 0.4]))
@settings(max_examples=20)
def test_marginals_equal_enumeration(seed: int, forbid: float) -> None:
    """The marginal of a tag at a word is the total probability of the paths through it."""
    crf = random_crf(3, seed, forbid)
    batch = sentences(LENGTHS, 3)
    expected = []
    for emissions in filter(len, batch):
        scores = paths(crf, emissions)
        total = log_sum(list(scores.values()))
        rows = torch.zeros(len(emissions), 3, dtype=torch.double)
        for path, score in scores.items():
            for place, tag in enumerate(path):
                rows[place, tag] += torch.tensor(score - total, dtype=torch.double).exp()
        expected.append(rows)
    marginals = decoding.marginals(torch.cat(batch).numpy(), LENGTHS, crf.transitions())
    torch.testing.assert_close(torch.from_numpy(marginals), torch.cat(expected))


def test_gradients_are_those_of_the_loss() -> None:
    """The analytic gradients of emissions and transitions agree with finite differences."""
    crf = random_crf(3, 0, 0.3)
    emissions = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    tags = torch.tensor([0, 0, IGNORED, 0, 0, 0])

    def loss(emissions: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return crf.negative_log_likelihood(emissions, tags, [3, 1, 2])

    assert torch.autograd.gradcheck(loss, (emissions, crf.start, crf.pairs, crf.end))


def test_a_forbidden_transition_is_never_learnt() -> None:
    """Transitions that the scheme forbids have no gradient and no probability."""
    crf = Crf([True, False], [[True, True], [False, True]], [True, True])
    crf.negative_log_likelihood(torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 0]), [3, 2]).backward()
    assert crf.pairs.grad is not None
    assert crf.pairs.grad[1, 0] == 0
    marginals = decoding.marginals(np.array([[0.0, 80.0], [0.0, 0.0]]), [2], crf.transitions())
    assert marginals[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("tags", "lengths"), [([1, 1], [2]), ([0, 1, 0], [3]), ([0, 1, 0, IGNORED], [4])])
def test_gold_that_breaks_the_scheme_is_rejected(tags: list[int], lengths: list[int]) -> None:
    """Gold tags with probability 0 raise an error instead of giving a huge loss."""
    crf = Crf([True, False], [[True, True], [False, True]], [True, True])
    with pytest.raises(ValueError, match="break their scheme"):
        crf.negative_log_likelihood(torch.zeros(len(tags), 2), torch.tensor(tags), lengths)


def test_extreme_emissions_keep_the_loss_a_number() -> None:
    """Extreme emissions of a diverging model give a finite, non-negative loss and finite gradients."""
    crf = Crf([True, True, False], [[True, True, False], [True] * 3, [True] * 3], [True] * 3)
    emissions = torch.tensor([[0.0, -500.0, 0.0], [0.0, 0.0, 3000.0]], requires_grad=True)
    loss = crf.negative_log_likelihood(emissions, torch.tensor([0, 0]), [2])
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2500.0)
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()


def test_every_decoded_sentence_obeys_the_scheme() -> None:
    """A CRF built for IOB2 never puts an I- tag at the start, after O, or after another type."""
    labels = LabelSet(("O", "B-A", "I-A", "B-B", "I-B"), "IOB2")
    torch.manual_seed(0)
    head = CrfHead().build(8, labels).eval()
    lengths = [1, 7, 0, 12, 30]
    numbers, _ = head.decode(10 * torch.randn(sum(lengths), 8), lengths)
    tags = [labels.tags[number] for number in numbers.tolist()]
    start = 0
    for length in lengths:
        for before, tag in zip(["O", *tags[start:]], tags[start : start + length], strict=False):
            assert not tag.startswith("I-") or before[1:] == tag[1:]
        start += length


def test_a_sentence_does_not_depend_on_its_batch() -> None:
    """Loss, tags and probabilities of a batch equal those of its sentences one by one, up to 1e-6."""
    torch.manual_seed(1)
    head = CrfHead().build(8, LabelSet(("a", "b", "c"), "plain")).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    vectors, tags = torch.randn(sum(LENGTHS), 8), torch.randint(0, 3, (sum(LENGTHS),))
    batch_tags, batch_scores = head.decode(vectors, LENGTHS)
    alone = [head.decode(piece, [len(piece)]) for piece in vectors.split(LENGTHS)]
    pieces = zip(vectors.split(LENGTHS), tags.split(LENGTHS), strict=True)
    losses = [head.loss(piece, gold, [len(piece)]) for piece, gold in pieces]
    assert batch_tags.tolist() == torch.cat([tags for tags, _ in alone]).tolist()
    torch.testing.assert_close(batch_scores, torch.cat([scores for _, scores in alone]), rtol=0, atol=1e-6)
    torch.testing.assert_close(head.loss(vectors, tags, LENGTHS), sum(losses), rtol=1e-6, atol=1e-6)


def test_backward_is_reproducible_on_two_threads() -> None:
    """Computing the same loss repeatedly on two threads gives identical gradients."""
    torch.manual_seed(2)
    head = CrfHead(dropout=0).build(32, LabelSet(tuple("abcdefghi"), "plain"))
    lengths = torch.randint(0, 40, (64,))
    vectors, tags = torch.randn(int(lengths.sum()), 32), torch.randint(0, 9, (int(lengths.sum()),))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = []
        for _ in range(5):
            head.zero_grad()
            head.loss(vectors, tags, lengths).backward()
            gradients.append([parameter.grad.clone() for parameter in head.parameters()])
    finally:
        torch.set_num_threads(threads)
    for again in gradients[1:]:
        assert all(torch.equal(one, other) for one, other in zip(gradients[0], again, strict=True))
