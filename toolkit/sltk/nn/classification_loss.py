"""The loss of heads that classify items independently of each other: words, words of one layer, candidate spans.

p is the softmax probability of an item's class, w the weight of this class.

- Cross-entropy: -w log p.
- With label smoothing s: w times the cross-entropy to a target that gives 1 - s to the class, and s to all classes in
  equal parts (Szegedy et al., CVPR 2016).
- Focal loss: -w (1 - p)^gamma log p (Lin et al., ICCV 2017), over a softmax instead of independent sigmoids.

Weights do not change the divisor: a sum of weighted losses is divided by the number of items, not by their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..subwords.samples import IGNORED

LossKind = Literal["cross_entropy", "focal"]


class ClassificationLoss(nn.Module):
    """Sum of the losses of items with known classes.

    Args:
        weights: the weight of each class; None for 1 each.
        kind: cross-entropy or focal loss.
        gamma: exponent of the focal loss; 0 makes it cross-entropy.
        smoothing: share of the target that all classes get equally, for cross-entropy.
    """

    weights: Tensor | None

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        kind: LossKind = "cross_entropy",
        gamma: float = 2.0,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.gamma = gamma if kind == "focal" else 0.0
        self.smoothing = smoothing
        # Not saved: `sltk.json` has the weights.
        values = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.register_buffer("weights", values, persistent=False)

    def forward(self, scores_NL: Tensor, classes_N: Tensor, allowed_NL: Tensor | None = None) -> Tensor:
        """Sum of the losses of the items whose class is not -100; 0 if there is none.

        Args:
            scores_NL: the score of each class before the softmax, float32.
            classes_N: the class of each item, or -100 for no loss.
            allowed_NL: the classes that each item may have, if some are only partly known. p is then the summed
                probability of these classes; the weight is that of `classes_N`.
        """
        if allowed_NL is None and not self.gamma and not self.smoothing:
            return F.cross_entropy(scores_NL, classes_N, self.weights, ignore_index=IGNORED, reduction="sum")
        known_N = classes_N != IGNORED
        log_NL = scores_NL.log_softmax(-1)
        if allowed_NL is None:
            log_N = -F.nll_loss(log_NL, classes_N, ignore_index=IGNORED, reduction="none")
        else:
            # Ignored items keep all classes: the gradient of a sum over none is not a number.
            log_N = log_NL.masked_fill(~allowed_NL & known_N.unsqueeze(1), -torch.inf).logsumexp(-1)
        losses_N = self._unweighted(log_NL, log_N)
        if self.weights is not None:
            losses_N = losses_N * self.weights[classes_N.clamp(min=0)]
        return losses_N.masked_fill(~known_N, 0.0).sum()

    def _unweighted(self, log_NL: Tensor, log_N: Tensor) -> Tensor:
        """The loss of each item, from the log-probabilities of all classes and of its own."""
        if self.gamma:
            # Not 0: the slope of a root is infinite there.
            rest_N = (-torch.expm1(log_N)).clamp(min=torch.finfo(log_N.dtype).tiny)
            return -(rest_N**self.gamma) * log_N
        return -(1 - self.smoothing) * log_N - self.smoothing * log_NL.mean(-1)
