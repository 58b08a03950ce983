"""How often tests over folds reject a true null hypothesis: a simulation of cross-validation (docs/guides).

Each study draws 100 examples with two blocks of five independent standard normal features. The class is the sign of
the sum of all ten, divided by its standard deviation, plus normal noise of deviation 0.5. Two classifiers are trained
by least squares, each on one block only: by symmetry, both have the same expected accuracy, whatever the data and the
folds. The data is divided into 5 folds r times at random, and both are trained and scored on each fold.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sltk.reports.significance.dependent_folds import corrected_t
from sltk.reports.significance.paired import paired_t

EXAMPLES, FEATURES, NOISE, K = 100, 5, 0.5, 5
REPETITIONS = (1, 3, 10)
STUDIES = 400
Floats = NDArray[np.float64]


def differences(studies: int, strength: float = 1.0, seed: int = 1) -> Floats:
    """The difference in accuracy of both classifiers, [study, repetition and fold].

    `strength` multiplies the influence of the second block on the class: 1 is the null hypothesis.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(studies, EXAMPLES, 2, FEATURES))
    signal = (features.sum(axis=3) * [1.0, strength]).sum(axis=2) / np.sqrt((1 + strength**2) * FEATURES)
    classes = np.sign(signal + NOISE * rng.normal(size=signal.shape))
    folds = np.tile(np.arange(EXAMPLES) % K, (studies, 1))
    divisions = [rng.permuted(folds, axis=1) for _ in range(max(REPETITIONS))]
    return np.stack(
        [_fold(features, classes, each == fold) for each in divisions for fold in range(K)], axis=1
    )


def _fold(features: Floats, classes: Floats, is_tested: NDArray[np.bool_]) -> Floats:
    """The difference in accuracy on the tested examples of each study, [study]."""
    train, test = (~is_tested).astype(float), is_tested.astype(float)
    products = np.einsum("snbf,sn,snbg->sbfg", features, train, features, optimize=True)
    targets = np.einsum("snbf,sn->sbf", features, train * classes, optimize=True)
    weights = np.linalg.solve(products, targets[..., None])[..., 0]
    right = np.sign(np.einsum("snbf,sbf->snb", features, weights)) == classes[..., None]
    accuracy = np.einsum("snb,sn->sb", right, test) / test.sum(axis=1)[:, None]
    return np.asarray(accuracy[:, 0] - accuracy[:, 1])


def rejections(values: Floats, repetitions: int, alpha: float = 0.05) -> tuple[float, float]:
    """The share of studies that the usual and the corrected t-test reject at alpha, over k · r differences."""
    rejected = [
        [p is not None and p < alpha for p in (usual.p, corrected.p)]
        for row in values[:, : K * repetitions]
        for usual, corrected in [(paired_t(row, 0 * row), corrected_t(row, 0 * row, 1 / (K - 1)))]
    ]
    usual, corrected = np.mean(rejected, axis=0)
    return float(usual), float(corrected)


@pytest.fixture(scope="module")
def null() -> Floats:
    return differences(STUDIES)


@pytest.fixture(scope="module")
def rates(null: Floats) -> list[tuple[float, float]]:
    """The rejection rates of both tests, by number of repetitions."""
    return [rejections(null, repetitions) for repetitions in REPETITIONS]


def test_both_classifiers_are_equally_good(null: Floats) -> None:
    """The simulation is of the null hypothesis: the mean difference is 0 up to chance, over independent studies."""
    means = null.mean(axis=1)
    assert abs(means.mean()) < 3 * means.std(ddof=1) / np.sqrt(len(means))


def test_the_corrected_test_rejects_at_the_stated_level(rates: list[tuple[float, float]]) -> None:
    """At alpha 0.05, the corrected test rejects in about 5 of 100 studies, and in fewer for one repetition."""
    corrected = [rate for _, rate in rates]
    margin = 3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert max(corrected) < 0.05 + margin
    assert corrected[-1] > 0.05 - margin


def test_the_usual_test_rejects_too_often(rates: list[tuple[float, float]]) -> None:
    """The uncorrected t-test finds differences that do not exist, the more often the more repetitions there are."""
    one, three, ten = (rate for rate, _ in rates)
    assert 0.05 < one < three < ten
    assert three > 0.2
    assert ten > 0.4


def test_the_corrected_test_finds_a_real_difference() -> None:
    """If one classifier has most of the signal, the corrected test rejects in nearly all studies."""
    assert rejections(differences(100, strength=0.2), 3)[1] > 0.9
