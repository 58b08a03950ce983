"""The significance tests, verified against scipy and by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from sltk.reports.run_records import SentenceCounts
from sltk.reports.significance.configurations import unmasking_over_seeds, unmasking_pairs, unmasking_test
from sltk.reports.significance.paired import (
    effect_size,
    holm,
    paired_t,
    sign_flip,
    t_interval,
)
from sltk.reports.significance.sentences import f1_interval, f1_randomisation

A = [0.51, 0.49, 0.56, 0.53, 0.50]
B = [0.47, 0.48, 0.50, 0.52, 0.51]
MASKS = ["".join(digits) for digits in product("01", repeat=4)]
alternatives = pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
thousandths = st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=8)
# multiples of 1/1024 are added without rounding, so that ties are ties for scipy too
lists = thousandths.map(lambda values: [value / 1024 for value in values])


@alternatives
def test_paired_t_matches_scipy(alternative):
    """t and p match scipy.stats.ttest_rel for every alternative."""
    ours, theirs = paired_t(A, B, alternative), stats.ttest_rel(A, B, alternative=alternative)
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.difference == pytest.approx(np.mean(A) - np.mean(B))


@alternatives
@given(lists)
def test_exact_sign_flip_matches_scipy(alternative, values):
    """With all signs, p matches scipy's exact permutation test, ties included."""
    zeros = [0.0] * len(values)
    theirs = stats.permutation_test(
        (values, zeros), lambda x, y, axis: np.sum(x - y, axis=axis), permutation_type="samples",
        n_resamples=np.inf, alternative="two-sided" if alternative == "two-sided" else alternative, vectorized=True,
    )  # fmt: skip
    ours = sign_flip(values, zeros, alternative)
    one_sided = min(1.0, 2 * min(sign_flip(values, zeros, side).p for side in ("greater", "less")))
    assert ours.p == pytest.approx(one_sided if alternative == "two-sided" else theirs.pvalue)
    if alternative == "two-sided":
        assert ours.p == pytest.approx(theirs.pvalue)


@given(thousandths)
@example([0, 1875, 1562, 1770, -4812, 0, 125, -500])  # four ties within 1e-15, which scipy 1.17 misses
def test_sign_flip_counts_ties_that_rounding_hides(values):
    """For scores with three decimals, p is that of counting all signs with integers."""
    flips = product((1, -1), repeat=len(values))
    sums = [sum(sign * value for sign, value in zip(signs, values, strict=True)) for signs in flips]
    scores, zeros = [value / 1000 for value in values], [0.0] * len(values)
    fewer, more = (sum(total <= sum(values) for total in sums), sum(total >= sum(values) for total in sums))
    assert sign_flip(scores, zeros, "less").p == fewer / len(sums)
    assert sign_flip(scores, zeros, "greater").p == more / len(sums)
    assert sign_flip(scores, zeros).p == min(1.0, 2 * min(fewer, more) / len(sums))


def test_sign_flip_of_five_seeds_cannot_be_significant_two_sided():
    """Five differences of one sign give 2/32, and a note says that no smaller p is possible."""
    result = sign_flip([1, 2, 3, 4, 5], [0] * 5)
    assert result.p == 2 / 32
    assert result.notes == ("sign flips of 5 pairs cannot give a p below 0.0625",)
    assert sign_flip([1, 2, 3, 4, 5], [0] * 5, "greater").p == 1 / 32


def test_signs_of_many_pairs_are_sampled():
    """Above 14 pairs signs are drawn at random, reproducibly, and p is close to that of the t-test."""
    rng = np.random.default_rng(3)
    a = rng.normal(0.4, 1, 40)
    result = sign_flip(a, np.zeros(40))
    assert result.test == "sign flip, sampled"
    assert result == sign_flip(a, np.zeros(40))
    assert result.p == pytest.approx(paired_t(a, np.zeros(40)).p, abs=0.01)


def test_holm_gives_the_textbook_values():
    """p-values are multiplied by the number of remaining tests, never decrease, and are at most 1."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_counts_a_test_without_p():
    """A test without p stays without one, but the others are corrected for it."""
    assert holm([0.02, None]) == [0.04, None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni(values):
    """An adjusted p is never below the p itself, nor above Bonferroni's."""
    for p, adjusted in zip(values, holm(values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(values))


def test_the_t_interval_matches_scipy():
    """Both ends are those of `scipy.stats.ttest_rel`."""
    theirs = stats.ttest_rel(A, B).confidence_interval(0.9)
    ours = t_interval(A, B, 0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_effect_size_is_the_mean_in_standard_deviations():
    """d is the mean divided by the sample sd of the differences; g is smaller by Hedges' factor."""
    d = np.subtract(A, B)
    size = effect_size(A, B)
    assert size.d == pytest.approx(d.mean() / d.std(ddof=1))
    assert size.g == pytest.approx(size.d * (1 - 3 / 15))


def test_two_pairs_have_no_corrected_effect_size():
    """Hedges' correction of two pairs is a factor of 0, so there is no g, and a note with the reason instead."""
    size = effect_size([3, 5], [1, 1])
    assert size.d == pytest.approx(3 / np.sqrt(2))
    assert (size.g, size.notes) == (None, ("g is undefined for 2 pairs",))
    three = effect_size([3, 5, 4], [1, 1, 1])
    assert three.g == pytest.approx(three.d * 4 / 7)


def test_results_that_cannot_be_computed_have_a_reason():
    """One pair, or differences that do not vary, give a note instead of p, interval and effect size."""
    assert paired_t([1], [0]).p is None
    assert paired_t([1], [0]).notes == ("one pair is too few for a test",)
    same = paired_t([0.3, 0.5, 0.7], [0.1, 0.3, 0.5])
    assert (same.p, same.notes) == (None, ("the differences do not vary: t is undefined",))
    assert t_interval([1, 1], [0, 0]).low is None
    assert effect_size([1, 1], [0, 0]).d is None
    assert effect_size([1, 1], [0, 0]).notes == same.notes
    assert "only 3 pairs" in paired_t([1, 2, 4], [0, 0, 0]).notes


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1]), ([], []), ([float("nan"), 1], [0, 0])])
def test_unpaired_scores_are_rejected(a, b):
    """Lists of different length, empty lists, and NaN are errors."""
    with pytest.raises(ValueError, match=r"paired|finite"):
        paired_t(a, b)


@pytest.mark.parametrize(("groups", "count"), [(1, 0), (2, 1), (3, 5), (4, 17), (5, 49), (6, 129)])
def test_number_of_unmasking_pairs(groups, count):
    """Four groups have the paper's 17 pairs."""
    assert len(unmasking_pairs(groups)) == count


@given(st.integers(1, 6))
def test_unmasking_pairs_follow_the_definition(groups):
    """A pair is included exactly if B agrees with A up to A's rightmost 1 and has another 1 after it."""
    masks = ["".join(digits) for digits in product("01", repeat=groups)]
    expected = {
        (a, b)
        for a, b in product(masks, masks)
        if "1" in a and a[: a.rfind("1") + 1] == b[: a.rfind("1") + 1] and "1" in b[a.rfind("1") + 1 :]
    }
    pairs = unmasking_pairs(groups)
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


def test_the_papers_test_is_a_one_sided_t_test_over_its_pairs():
    """The paper's test is scipy's one-sided paired t-test over the 17 pairs, with a note on its weakness."""
    rng = np.random.default_rng(0)
    means = {mask: 0.5 + 0.02 * mask.count("1") + rng.normal(0, 0.01) for mask in MASKS}
    pairs = unmasking_pairs(4)
    theirs = stats.ttest_rel([means[a] for a, _ in pairs], [means[b] for _, b in pairs], alternative="less")
    test = unmasking_test(means)
    assert test.result.p == pytest.approx(theirs.pvalue)
    assert (test.result.n, test.alpha, test.rejected) == (17, 0.01, True)
    assert any("not independent" in note for note in test.result.notes)
    down = unmasking_test({mask: -value for mask, value in means.items()})
    assert down.rejected is False


def test_the_papers_test_requires_every_mask():
    """The error names a missing mask."""
    with pytest.raises(ValueError, match="masks missing: 1111"):
        unmasking_test(dict.fromkeys(MASKS[:-1], 0.5))


def test_the_papers_test_rejects_too_often_and_the_one_over_seeds_does_not():
    """If no mask matters, the 17 pairs reject at 0.01 in over 4 of 100 studies, the test over seeds in about 1."""
    rng = np.random.default_rng(1)
    paper = seeds = 0
    for scores in rng.normal(size=(600, 16, 5)):
        paper += unmasking_test(dict(zip(MASKS, scores.mean(axis=1), strict=True))).rejected
        by_seed = {mask: dict(enumerate(row)) for mask, row in zip(MASKS, scores, strict=True)}
        seeds += unmasking_over_seeds(by_seed)[0].p < 0.01
    assert paper / 600 > 0.04
    assert seeds / 600 < 0.025


def test_seeds_that_some_mask_lacks_are_left_out():
    """The test over seeds uses only seeds that every mask was run with."""
    scores = {mask: {1: 0.5, 2: 0.6 + 0.01 * mask.count("1"), 3: 0.4} for mask in MASKS}
    del scores["0110"][3]
    assert unmasking_over_seeds(scores)[0].n == 2


def false_positives(test, size, trials=1000, alpha=0.05):
    """The false-positive rate of a test on pure noise."""
    rng = np.random.default_rng(7)
    return np.mean([test(rng.normal(size=size), rng.normal(size=size)).p < alpha for _ in range(trials)])


@pytest.mark.parametrize(("test", "size"), [(paired_t, 5), (sign_flip, 6), (sign_flip, 10)])
def test_false_positive_rate_over_seeds(test, size):
    """Of 1000 comparisons without a difference, about 5 in 100 have p < 0.05, and not more."""
    assert false_positives(test, size) < 0.068


def counts(rng, sentences, quality, gold=None):
    """The counts of one run; `quality` is the probability that a gold span is found."""
    gold = rng.poisson(1.2, sentences) if gold is None else gold
    correct = rng.binomial(gold, quality)
    predicted = correct + rng.poisson(0.2, sentences)
    return SentenceCounts(gold=gold.tolist(), predicted=predicted.tolist(), correct=correct.tolist())


def test_false_positive_rate_over_sentences():
    """Two systems of equal quality differ with p < 0.05 on about 5 of 100 test sets."""
    rng, significant = np.random.default_rng(5), 0
    for trial in range(400):
        gold = rng.poisson(1.2, 100)
        a, b = counts(rng, 100, 0.7, gold), counts(rng, 100, 0.7, gold)
        significant += f1_randomisation([a], [b], draws=200, seed=trial).p < 0.05
    assert 0.02 < significant / 400 < 0.08


def by_hand(a, b, swap):
    """The difference in F1 with the sentences in `swap` exchanged, by a slow reference."""

    def f1(runs):
        correct = sum(run.correct[i] for i, run in runs)
        return 2 * correct / max(1, sum(run.gold[i] + run.predicted[i] for i, run in runs))

    mine = [(i, b if i in swap else a) for i in range(len(a))]
    theirs = [(i, a if i in swap else b) for i in range(len(a))]
    return f1(mine) - f1(theirs)


@alternatives
def test_randomisation_approximates_the_exact_test(alternative):
    """p is close to the share of all assignments that are as extreme, with F1 recomputed for each."""
    rng = np.random.default_rng(11)
    gold = rng.poisson(1.5, 9)
    a, b = counts(rng, 9, 0.8, gold), counts(rng, 9, 0.5, gold)
    swaps = [{i for i in range(9) if bits >> i & 1} for bits in range(2**9)]
    values = np.array([by_hand(a, b, swap) for swap in swaps])
    sign = {"two-sided": np.abs, "greater": lambda x: x, "less": lambda x: -x}[alternative]
    exact = np.mean(sign(values) >= sign(values[0]) - 1e-12)
    ours = f1_randomisation([a], [b], alternative, draws=20_000)
    assert ours.difference == pytest.approx(values[0])
    assert ours.p == pytest.approx(exact, abs=0.015)


def test_randomisation_over_several_seeds_swaps_a_sentence_in_all_of_them():
    """Repeating a run as a second seed does not change p: the sample consists of sentences, not runs."""
    rng = np.random.default_rng(2)
    gold = rng.poisson(1.2, 60)
    a, b = counts(rng, 60, 0.75, gold), counts(rng, 60, 0.6, gold)
    assert f1_randomisation([a], [b]) == f1_randomisation([a, a], [b, b])


def test_equal_predictions_have_p_1():
    """If the counts agree in every sentence, p is 1 and a note says why."""
    run = counts(np.random.default_rng(0), 20, 0.5)
    result = f1_randomisation([run], [run])
    assert (result.p, result.difference) == (1.0, 0.0)
    assert "same counts" in result.notes[0]


def test_interval_over_sentences_has_nominal_coverage():
    """The 90 % interval contains the true difference on about 90 of 100 test sets."""
    rng, inside = np.random.default_rng(3), 0
    for trial in range(150):
        gold = rng.poisson(1.2, 120)
        interval = f1_interval(
            [counts(rng, 120, 0.7, gold)], [counts(rng, 120, 0.7, gold)], 0.9, draws=300, seed=trial
        )
        inside += interval.low <= 0 <= interval.high
    assert 0.83 < inside / 150 < 0.97


def test_runs_on_different_sentences_are_rejected():
    """A sentence can be swapped only with itself."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="swapped only with itself"):
        f1_randomisation([counts(rng, 5, 0.5)], [counts(rng, 6, 0.5)])
