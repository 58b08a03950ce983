"""A Gaussian process over masks, exact and small: what scores to expect of masks that were not trained.

The kernel is a sum of three: linear in the digits (each group of blocks helps or harms by itself), exponential in
the number of differing digits (groups together, whatever that does), and linear in the score with shared weights
where there is one. Without the second it is Bayesian linear regression. How much each explains, and how much is
noise, is chosen by marginal likelihood out of a few values (Rasmussen & Williams 2006, chapters 2 and 5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # `sltk schema` knows the spec of a search, and counts nothing
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
_Choice = tuple[tuple[float, ...], float]
"""Weights of the kernels, and the noise."""
_WEIGHTS = (0.0, 0.3, 1.0, 3.0)
_NOISES = (0.03, 0.1, 0.3, 1.0)
_LENGTH = 2.0
"""Differing digits over which the exponential kernel falls by a factor e."""


@dataclass(frozen=True)
class Expected:
    """Mean and standard deviation of the score of each mask, without the noise of a single run."""

    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    def improvement(self, mask: str, best: float) -> float:
        """Expected improvement over `best` (Jones et al. 1998)."""
        mean, deviation = self.mean[mask], self.deviation[mask]
        if deviation < 1e-12:
            return max(0.0, mean - best)
        z = (mean - best) / deviation
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return deviation * (z * (1 + math.erf(z / math.sqrt(2))) / 2 + density)


@dataclass(frozen=True)
class Surrogate:
    """The model over these masks.

    Args:
        masks: all masks, digits only, equally long.
        shared: their scores with shared weights; empty: there are none.
        interactions: whether groups may help together what they do not help alone.
    """

    masks: Sequence[str]
    shared: Mapping[str, float] = field(default_factory=dict)
    interactions: bool = True

    def expect(self, scores: Mapping[str, float]) -> Expected:
        """What to expect of every mask after these scores; there must be one at least."""
        import numpy as np

        seen = np.array([mask in scores for mask in self.masks])
        y = np.array([scores[mask] for mask in self.masks if mask in scores])
        centre, scale = float(y.mean()), float(y.std()) or 1.0
        standard = (y - centre) / scale
        choice = max(self._choices(), key=lambda each: self._likelihood(each, seen, standard))
        means, deviations = self._posterior(choice, seen, standard)
        mean, deviation = (centre + scale * means).tolist(), (scale * deviations).tolist()
        return Expected(
            dict(zip(self.masks, mean, strict=True)), dict(zip(self.masks, deviation, strict=True))
        )

    def _choices(self) -> list[_Choice]:
        weights = itertools.product(*([_WEIGHTS] * len(self._kernels())))
        return [(each, noise) for each in weights if any(each) for noise in _NOISES]

    def _likelihood(self, choice: _Choice, seen: NDArray[np.bool_], y: Array) -> float:
        """Logarithm of the marginal likelihood, and of a prior, but for constants."""
        import numpy as np

        weights, noise = choice
        root = np.linalg.cholesky(self._kernel(weights, np.ix_(seen, seen)) + noise * np.eye(len(y)))
        half = np.linalg.solve(root, y)
        # Weak priors, log-normal around 1 for the weights and .3 for the noise: with three scores the
        # likelihood alone would take any of them for certain.
        prior = sum(math.log(max(weight, 0.1)) ** 2 for weight in weights) + math.log(noise / 0.3) ** 2
        return float(-half @ half / 2 - np.log(np.diag(root)).sum() - prior / 8)

    def _posterior(self, choice: _Choice, seen: NDArray[np.bool_], y: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of every mask."""
        import numpy as np

        weights, noise = choice
        kernel = self._kernel(weights, ...)
        root = np.linalg.cholesky(kernel[np.ix_(seen, seen)] + noise * np.eye(len(y)))
        across = np.linalg.solve(root, kernel[seen])
        variance = np.diag(kernel) - (across**2).sum(0)
        return across.T @ np.linalg.solve(root, y), np.sqrt(np.maximum(variance, 0))

    def _kernel(self, weights: Sequence[float], part: Any) -> Array:
        """The kernel of a part of the masks, with a constant that is unknown too: else a digit that all masks
        seen so far share would seem to be known.
        """
        import numpy as np

        kernels = [weight * kernel[part] for weight, kernel in zip(weights, self._kernels(), strict=True)]
        total: Array = 1.0 + np.sum(kernels, axis=0)
        return total

    def _kernels(self) -> list[Array]:
        cached: list[Array] | None = self.__dict__.get("_cached")
        if cached is None:
            import numpy as np

            digits = np.array([[2.0 * int(digit) - 1 for digit in mask] for mask in self.masks])
            alike = digits @ digits.T / digits.shape[1]
            cached = [alike]
            if self.interactions:
                cached.append(np.exp(-(1 - alike) * digits.shape[1] / 2 / _LENGTH))
            if self.shared:
                z = _standard(np.array([self.shared[mask] for mask in self.masks]))
                cached.append(np.outer(z, z))
            self.__dict__["_cached"] = cached
        return cached


def _standard(values: Array) -> Array:
    standard: Array = (values - values.mean()) / (values.std() or 1.0)
    return standard
