"""A linear-chain conditional random field over sentences of any length (Lafferty et al., ICML 2001).

The score of a path of tags is the sum of the emissions of its words and of the transitions between its tags.
Everything is computed in log space, where large emissions do not overflow, and for all sentences of a batch at once,
without padding. This is the loss; `sltk.decoding` has the best path and the probabilities of tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoding import FORBIDDEN, Transitions
from ..subwords.samples import IGNORED
from .softmax_head import HeadModule, Scorer, as_numpy
from .timesteps import TimeSteps
from .transfer import on_host, to_device


class Crf(nn.Module):
    """Transition scores between tags; transitions that the scheme forbids are excluded, not learnt.

    Args:
        start: [L], whether a sentence may begin with the tag.
        pairs: [L, L], whether the second tag may follow the first.
        end: [L], whether a sentence may end with the tag.
    """

    def __init__(self, start: Sequence[bool], pairs: Sequence[Sequence[bool]], end: Sequence[bool]) -> None:
        super().__init__()
        labels = len(start)
        self.start = nn.Parameter(torch.zeros(labels))
        self.pairs = nn.Parameter(torch.zeros(labels, labels))
        self.end = nn.Parameter(torch.zeros(labels))
        self._allowed = tuple(torch.tensor(each, dtype=torch.bool) for each in (start, pairs, end))
        """In main memory, to check tags there."""
        # Not saved: the labels determine these buffers.
        for name, allowed in zip(("no_start", "no_pair", "no_end"), self._allowed, strict=True):
            self.register_buffer(name, ~allowed, persistent=False)

    def _forbidden(self) -> tuple[Tensor, ...]:
        """Whether each start [L], transition [L, L] and end [L] is forbidden."""
        return self.get_buffer("no_start"), self.get_buffer("no_pair"), self.get_buffer("no_end")

    def _scores(self) -> tuple[Tensor, ...]:
        """The scores of starts, transitions and ends, with forbidden ones masked."""
        pairs = zip((self.start, self.pairs, self.end), self._forbidden(), strict=True)
        return tuple(scores.masked_fill(forbidden, FORBIDDEN) for scores, forbidden in pairs)

    def negative_log_likelihood(
        self,
        emissions_WL: Tensor,
        tags_W: Tensor,
        lengths_S: Tensor | Sequence[int],
        allowed_WL: Tensor | None = None,
    ) -> Tensor:
        """Sum over the sentences of -log p(tags). A word whose tag is -100 is summed over all tags.

        With `allowed_WL`, it is -log of the summed probability of all sequences of allowed tags, the marginal
        likelihood of partly labelled sentences (Tsuboi et al., COLING 2008).

        Raises:
            ValueError: the scheme forbids a start, a transition or an end of these tags.
        """
        if not len(tags_W):
            return emissions_WL.sum()
        device, known_W = emissions_WL.device, on_host(tags_W)
        steps = TimeSteps.of(lengths_S, device)
        counts = self._counts(known_W, on_host(steps.first), on_host(steps.last))
        partition = self._log_partition(emissions_WL, steps)
        if allowed_WL is not None:
            # Each word has an allowed tag, so no sum consists of -inf alone, and gradients are finite.
            return partition - self._log_partition(emissions_WL.masked_fill(~allowed_WL, -torch.inf), steps)
        if bool((known_W != IGNORED).all()):
            on_device = tuple(to_device(count, device) for count in counts)
            return partition - self._path_score(emissions_WL, tags_W, on_device)
        other_WL = torch.arange(emissions_WL.shape[1], device=device) != tags_W.unsqueeze(1)
        excluded_WL = other_WL & (tags_W != IGNORED).unsqueeze(1)
        return partition - self._log_partition(emissions_WL.masked_fill(excluded_WL, FORBIDDEN), steps)

    def _counts(self, tags_W: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        """The counts of each start [L], transition [L, L] and end [L] among the known tags, in main memory."""
        size = len(self.start)
        starts, ends = tags_W.index_select(0, first), tags_W.index_select(0, last)
        inner_W = torch.ones_like(tags_W, dtype=torch.bool).index_fill(0, first, False)[1:]
        known = inner_W & (tags_W[:-1] != IGNORED) & (tags_W[1:] != IGNORED)
        pairs = (tags_W[:-1] * size + tags_W[1:])[known]
        counts = (
            torch.bincount(starts[starts != IGNORED], minlength=size),
            torch.bincount(pairs, minlength=size * size).view(size, size),
            torch.bincount(ends[ends != IGNORED], minlength=size),
        )
        if any(bool((count > 0)[~yes].any()) for count, yes in zip(counts, self._allowed, strict=True)):
            raise ValueError("these tags break their scheme, so a CRF gives them probability 0")
        return counts

    def _path_score(self, emissions_WL: Tensor, tags_W: Tensor, counts: Sequence[Tensor]) -> Tensor:
        """Sum of the scores of all gold paths. The backward pass of counts is reproducible; that of look-ups is not."""
        score = -F.nll_loss(emissions_WL, tags_W, reduction="sum")
        for count, scores in zip(counts, (self.start, self.pairs, self.end), strict=True):
            score = score + (count * scores).sum()
        return score

    def _log_partition(self, emissions_WL: Tensor, steps: TimeSteps) -> Tensor:
        """Sum over the sentences of the log partition function: the log-sum-exp of the scores of all paths."""
        alpha_WL = steps.join(self._forward(steps.split(emissions_WL)))
        return (alpha_WL.index_select(0, steps.last) + self._scores()[2]).logsumexp(-1).sum()

    def _forward(self, emissions: Sequence[Tensor]) -> list[Tensor]:
        """Log of the summed exponentiated scores of all paths up to each tag, [N, L] per step."""
        start_L, pairs_LL, _ = self._scores()
        alphas = [start_L + emissions[0]]
        for emission_NL in emissions[1:]:
            previous_NL = alphas[-1][: len(emission_NL)]
            alphas.append((previous_NL.unsqueeze(2) + pairs_LL).logsumexp(1) + emission_NL)
        return alphas

    def transitions(self) -> Transitions:
        """The scores of starts, transitions and ends for decoding, with forbidden ones masked."""
        return Transitions(*map(as_numpy, self._scores()))


class CrfHeadModule(HeadModule):
    """Tags each sentence as a whole: the most probable path, and the marginal probability of each tag on it."""

    def __init__(self, scorer: Scorer, crf: Crf) -> None:
        super().__init__()
        self.scorer = scorer
        self.crf = crf

    def loss(
        self,
        vectors_WH: Tensor,
        tags_W: Tensor,
        lengths_S: Tensor | Sequence[int],
        allowed_WL: Tensor | None = None,
    ) -> Tensor:
        """Sum over the sentences of -log p(tags); a word whose tag is -100 may have any tag.

        See `Crf.negative_log_likelihood` for sentences that are partly labelled.

        Raises:
            ValueError: the scheme forbids a start, a transition or an end of these tags.
        """
        # Adding a constant to all scores of a word changes no probability. This one keeps the sums of long sentences
        # near 0, where float32 is most precise.
        emissions_WL = self.emissions(vectors_WH).log_softmax(-1)
        return self.crf.negative_log_likelihood(emissions_WL, tags_W, lengths_S, allowed_WL)

    def emissions(self, vectors_WH: Tensor) -> Tensor:
        """The score of each tag at each word."""
        scores_WL: Tensor = self.scorer(vectors_WH)
        return scores_WL

    def transitions(self) -> Transitions:
        """The transitions of the CRF."""
        return self.crf.transitions()
