"""A linear-chain conditional random field over sentences of any length (Lafferty et al., ICML 2001).

The score of a path of tags is the sum of its words' emissions and of the transitions between them. All is
computed in log space, where no emission is too large, and for all sentences of a batch at once, unpadded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .head import IGNORED, HeadModule, Scorer
from .timesteps import TimeSteps

FORBIDDEN = -1e4
"""Score of what the scheme forbids: its probability is 0 in float32, and gradients stay numbers."""


class Crf(nn.Module):
    """Transition scores between tags; what a scheme forbids is excluded, not learnt.

    Args:
        start: [L], tags that a sentence may begin with.
        pairs: [L, L], whether the second tag may follow the first.
        end: [L], tags that a sentence may end with.
    """

    def __init__(self, start: Sequence[bool], pairs: Sequence[Sequence[bool]], end: Sequence[bool]) -> None:
        super().__init__()
        labels = len(start)
        self.start = nn.Parameter(torch.zeros(labels))
        self.pairs = nn.Parameter(torch.zeros(labels, labels))
        self.end = nn.Parameter(torch.zeros(labels))
        # The labels say these, so that no file needs to.
        self.register_buffer("no_start", ~torch.tensor(start, dtype=torch.bool), persistent=False)
        self.register_buffer("no_pair", ~torch.tensor(pairs, dtype=torch.bool), persistent=False)
        self.register_buffer("no_end", ~torch.tensor(end, dtype=torch.bool), persistent=False)

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """The transition scores, with what is forbidden forbidden."""
        return (
            self.start.masked_fill(self.get_buffer("no_start"), FORBIDDEN),
            self.pairs.masked_fill(self.get_buffer("no_pair"), FORBIDDEN),
            self.end.masked_fill(self.get_buffer("no_end"), FORBIDDEN),
        )

    def negative_log_likelihood(
        self, emissions_WL: Tensor, tags_W: Tensor, lengths_S: Tensor | Sequence[int]
    ) -> Tensor:
        """Sum over the sentences of -log p(tags). A word whose tag is -100 may have any: it is summed over.

        Raises:
            ValueError: neighbouring tags that the scheme forbids.
        """
        if not len(tags_W):
            return emissions_WL.sum()
        steps = TimeSteps.of(lengths_S, emissions_WL.device)
        counts = self._counts(tags_W, steps)
        partition = self._log_partition(emissions_WL, steps)
        observed_W = tags_W != IGNORED
        if bool(observed_W.all()):
            return partition - self._path_score(emissions_WL, tags_W, counts)
        other_WL = torch.arange(emissions_WL.shape[1], device=tags_W.device) != tags_W.unsqueeze(1)
        excluded_WL = other_WL & observed_W.unsqueeze(1)
        return partition - self._log_partition(emissions_WL.masked_fill(excluded_WL, FORBIDDEN), steps)

    def _counts(self, tags_W: Tensor, steps: TimeSteps) -> tuple[Tensor, Tensor, Tensor]:
        """How often each start [L], transition [L, L] and end [L] occurs where tags are known."""
        size = len(self.start)
        starts, ends = tags_W.index_select(0, steps.first), tags_W.index_select(0, steps.last)
        inner_W = torch.ones_like(tags_W, dtype=torch.bool).index_fill(0, steps.first, False)[1:]
        known = inner_W & (tags_W[:-1] != IGNORED) & (tags_W[1:] != IGNORED)
        pairs = (tags_W[:-1] * size + tags_W[1:])[known]
        counts = (
            torch.bincount(starts[starts != IGNORED], minlength=size),
            torch.bincount(pairs, minlength=size * size).view(size, size),
            torch.bincount(ends[ends != IGNORED], minlength=size),
        )
        forbidden = (self.get_buffer(name) for name in ("no_start", "no_pair", "no_end"))
        if any(bool((count > 0)[no].any()) for count, no in zip(counts, forbidden, strict=True)):
            raise ValueError("these tags break their scheme, so that a CRF gives them probability 0")
        return counts

    def _path_score(
        self, emissions_WL: Tensor, tags_W: Tensor, counts: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Sum of the scores of all paths; counts, unlike look-ups, have a reproducible backward."""
        score = -F.nll_loss(emissions_WL, tags_W, reduction="sum")
        for count, scores in zip(counts, (self.start, self.pairs, self.end), strict=True):
            score = score + (count * scores).sum()
        return score

    def _log_partition(self, emissions_WL: Tensor, steps: TimeSteps) -> Tensor:
        """Sum over the sentences of the log of the summed scores of all paths."""
        alpha_WL = steps.join(self._forward(steps.split(emissions_WL)))
        return (alpha_WL.index_select(0, steps.last) + self._scores()[2]).logsumexp(-1).sum()

    def _forward(self, emissions: Sequence[Tensor]) -> list[Tensor]:
        """Log of the summed scores of all paths to each tag [N, L], step by step."""
        start_L, pairs_LL, _ = self._scores()
        alphas = [start_L + emissions[0]]
        for emission_NL in emissions[1:]:
            before_NL = alphas[-1][: len(emission_NL)]
            alphas.append((before_NL.unsqueeze(2) + pairs_LL).logsumexp(1) + emission_NL)
        return alphas

    def _backward(self, emissions: Sequence[Tensor]) -> list[Tensor]:
        """Log of the summed scores of all paths from each tag on [N, L], step by step."""
        _, pairs_LL, end_L = self._scores()
        betas: list[Tensor] = []
        after_NL = emissions[0].new_zeros(0, len(end_L))
        for emission_NL in reversed(emissions):
            going = (pairs_LL + after_NL.unsqueeze(1)).logsumexp(2)
            ending = end_L.expand(len(emission_NL) - len(going), -1)
            betas.append(torch.cat([going, ending]))
            after_NL = betas[-1] + emission_NL
        return betas[::-1]

    @torch.no_grad()
    def marginals(self, emissions_WL: Tensor, lengths_S: Tensor | Sequence[int]) -> Tensor:
        """Probability of each tag at each word, [W, L], over all paths of its sentence."""
        if not len(emissions_WL):
            return emissions_WL
        steps = TimeSteps.of(lengths_S, emissions_WL.device)
        emissions = steps.split(emissions_WL)
        alpha_WL, beta_WL = steps.join(self._forward(emissions)), steps.join(self._backward(emissions))
        return (alpha_WL + beta_WL).softmax(-1)

    @torch.no_grad()
    def best_paths(self, emissions_WL: Tensor, lengths_S: Tensor | Sequence[int]) -> Tensor:
        """The tags [W] of each sentence's most probable path (Viterbi)."""
        if not len(emissions_WL):
            return torch.zeros(0, dtype=torch.long, device=emissions_WL.device)
        steps = TimeSteps.of(lengths_S, emissions_WL.device)
        start_L, pairs_LL, end_L = self._scores()
        emissions = steps.split(emissions_WL)
        scores, pointers = [start_L + emissions[0]], []
        for emission_NL in emissions[1:]:
            best_NL, pointer_NL = (scores[-1][: len(emission_NL)].unsqueeze(2) + pairs_LL).max(1)
            scores.append(best_NL + emission_NL)
            pointers.append(pointer_NL)
        return steps.join(_trace([score_NL + end_L for score_NL in scores], pointers))


def _trace(ended: Sequence[Tensor], pointers: Sequence[Tensor]) -> list[Tensor]:
    """Tags [N] step by step, followed back from the best tag at the end of each sentence.

    `ended[t]` [N, L] scores paths that end at step t, `pointers[t]` [N, L] leads from step t+1 to step t.
    """
    tags = [ended[-1].argmax(-1)]
    for ended_NL, pointer_NL in zip(reversed(ended[:-1]), reversed(pointers), strict=True):
        going = pointer_NL.gather(1, tags[-1].unsqueeze(1)).squeeze(1)
        tags.append(torch.cat([going, ended_NL[len(going) :].argmax(-1)]))
    return tags[::-1]


class CrfHeadModule(HeadModule):
    """Tags a sentence as a whole: the most probable path of tags, each with its marginal probability."""

    def __init__(self, scorer: Scorer, crf: Crf) -> None:
        super().__init__()
        self.scorer = scorer
        self.crf = crf

    def _emissions(self, vectors_WH: Tensor) -> Tensor:
        # A constant a word changes no probability; this one keeps sums over long sentences near 0, where
        # float32 is exact.
        scores_WL: Tensor = self.scorer(vectors_WH)
        return scores_WL.log_softmax(-1)

    def loss(self, vectors_WH: Tensor, tags_W: Tensor, lengths_S: Tensor | Sequence[int]) -> Tensor:
        """Sum over the sentences of -log p(tags); a word whose tag is -100 may have any.

        Raises:
            ValueError: neighbouring tags that the scheme forbids.
        """
        return self.crf.negative_log_likelihood(self._emissions(vectors_WH), tags_W, lengths_S)

    def decode(self, vectors_WH: Tensor, lengths_S: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """The tags of each sentence's best path, and the marginal probability of each."""
        emissions_WL = self._emissions(vectors_WH)
        tags_W = self.crf.best_paths(emissions_WL, lengths_S)
        marginals_WL = self.crf.marginals(emissions_WL, lengths_S)
        return tags_W, marginals_WL.gather(1, tags_W.unsqueeze(1)).squeeze(1)
