"""Exact Gaussian-process regression over masks: predicts the scores of masks that were not trained.

The kernel is the sum of two: linear in the digits (each group of blocks has its own effect), and exponential in the
number of differing digits (interactions between groups). Their weights and the noise are chosen from a few values
by marginal likelihood (Rasmussen & Williams 2006, chapters 2 and 5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # `sltk schema` imports this package and needs no numpy
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.floating[Any]]"
_WEIGHTS = (0.0, 0.3, 1.0, 3.0)
_NOISES = (0.03, 0.1, 0.3, 1.0)
_LENGTH = 2.0
"""Number of differing digits over which the exponential kernel falls by a factor of e."""


@dataclass(frozen=True)
class Posterior:
    """Mean and standard deviation of the score of each mask, without the noise of a single run."""

    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    def improvement(self, mask: str, best: float) -> float:
        """Expected improvement over `best` (Jones et al. 1998)."""
        gain, deviation = self.mean[mask] - best, self.deviation[mask]
        if deviation < 1e-12:
            return max(0.0, gain)
        normal, z = NormalDist(), gain / deviation
        return deviation * (z * normal.cdf(z) + normal.pdf(z))


@dataclass(frozen=True)
class _Fit:
    """A kernel over all masks, factorized for the masks that have scores."""

    kernel: Array
    root: Array
    """Cholesky factor of the kernel of the observed masks plus noise."""
    whitened: Array
    """`root⁻¹ y`."""
    log_likelihood: float
    """Log marginal likelihood plus log prior, up to a constant."""


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process over these masks: digits only, all of the same length."""

    masks: Sequence[str]

    def predict(self, scores: Mapping[str, float]) -> Posterior:
        """Predict the score of every mask from the known scores, of which there must be at least one."""
        import numpy as np

        observed = np.array([mask in scores for mask in self.masks])
        y = np.array([scores[mask] for mask in self.masks if mask in scores])
        centre, scale = float(y.mean()), float(y.std()) or 1.0
        weights = [pair for pair in itertools.product(_WEIGHTS, repeat=2) if any(pair)]
        fits = (
            self._fit(*each, observed, (y - centre) / scale) for each in itertools.product(weights, _NOISES)
        )
        fit = max(fits, key=lambda fit: fit.log_likelihood)
        across = np.linalg.solve(fit.root, fit.kernel[observed])
        variance = np.diag(fit.kernel) - (across**2).sum(0)
        mean = (centre + scale * (across.T @ fit.whitened)).tolist()
        deviation = (scale * np.sqrt(np.maximum(variance, 0))).tolist()
        return Posterior(
            dict(zip(self.masks, mean, strict=True)), dict(zip(self.masks, deviation, strict=True))
        )

    def _fit(self, weights: Sequence[float], noise: float, observed: NDArray[np.bool_], y: Array) -> _Fit:
        import numpy as np

        linear, exponential = self._kernels
        # The constant is unknown too: without it, a digit shared by all observed masks would seem to be known.
        kernel: Array = 1.0 + weights[0] * linear + weights[1] * exponential
        root: Array = np.linalg.cholesky(kernel[np.ix_(observed, observed)] + noise * np.eye(len(y)))
        whitened = np.linalg.solve(root, y)
        # Weak log-normal priors around 1 for the weights and 0.3 for the noise: with three scores, the likelihood
        # alone would be certain of any of them.
        prior = sum(math.log(max(weight, 0.1)) ** 2 for weight in weights) + math.log(noise / 0.3) ** 2
        likelihood = float(-whitened @ whitened / 2 - np.log(np.diag(root)).sum() - prior / 8)
        return _Fit(kernel, root, whitened, likelihood)

    @cached_property
    def _kernels(self) -> tuple[Array, Array]:
        import numpy as np

        digits = np.array([[2.0 * int(digit) - 1 for digit in mask] for mask in self.masks])
        linear = digits @ digits.T / digits.shape[1]
        return linear, np.exp(-(1 - linear) * digits.shape[1] / 2 / _LENGTH)
