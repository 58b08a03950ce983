"""The best tag of each word, its probability, and those of all other tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .chains import Chain, best_paths
from .tag_transitions import Floats, Integers, Transitions


@dataclass(frozen=True, slots=True, eq=False)
class BestTags:
    """The best tags of packed words."""

    tags_W: Integers
    scores_W: Floats
    """The probability of each of these tags."""
    shifted_WL: Floats
    """The scores of all tags, of which the best one of each word is 0."""
    chain: Chain | None
    """With transitions, the probabilities of all paths."""

    def probabilities(self) -> Floats:
        """The probability of each tag at each word, [W, L]."""
        if self.chain is not None:
            return self.chain.marginals()
        weights_WL = np.exp(self.shifted_WL.astype(np.float64))
        probabilities_WL: Floats = weights_WL / weights_WL.sum(1, keepdims=True)
        return probabilities_WL


def best_tags(scores_WL: Floats, lengths_S: Sequence[int], transitions: Transitions | None) -> BestTags:
    """The most probable tag of each word; with `transitions`, the most probable path of each sentence.

    Scores are logits or log-probabilities: a constant added to all scores of a word changes nothing.
    """
    tags_W = scores_WL.argmax(1)
    shifted_WL = scores_WL - scores_WL[np.arange(len(tags_W)), tags_W, None]
    sums_W = np.exp(shifted_WL) @ np.ones(
        scores_WL.shape[1], scores_WL.dtype
    )  # faster than the sums of short rows
    if transitions is None:
        return BestTags(tags_W, 1 / sums_W, shifted_WL, None)
    # Log-probabilities keep the sums of long sentences near 0, where float32 is most precise.
    log_WL = shifted_WL - np.log(sums_W)[:, None]
    tags_W = best_paths(log_WL, lengths_S, transitions)
    chain = Chain.of(log_WL, lengths_S, transitions)
    scores_W = chain.marginals()[np.arange(len(tags_W)), tags_W].astype(log_WL.dtype)
    return BestTags(tags_W, scores_W, shifted_WL, chain)
