"""Scores of candidate spans: every span of up to K words is "no span" or has one type.

P numbers per word represent it as the first word of a span, and P as the last. The scores of a span are a small
function of both and of its width: a hidden layer (as in SpERT, Eberts and Ulges, ECAI 2020, but without the words in
between, so that its first part is computed once per word), or a biaffine form (Yu et al., ACL 2020). Memory is linear
in the number of candidates that are scored.

N candidates; C classes, the first of which is "no span"; `sltk.decoding.span_scoring` has the other names, and computes
the same scores for predictions.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..decoding import Decisions, ScoreDecoder, SpanDecoder
from ..decoding.span_choice import Overlap
from ..decoding.span_scoring import BiaffineScorer, MlpScorer, SpanScorer, candidate_rows
from ..schemes.labels import LabelSet
from ..subwords.samples import IGNORED
from .classification_loss import ClassificationLoss
from .gold_spans import Integers, candidate_classes
from .softmax_head import HeadModule, as_numpy
from .transfer import on_host, to_device

Booleans = NDArray[np.bool_]
_SPANS = 0.02


class SpanScorerModule(nn.Module):
    """Word vectors to the vectors of first and last words, and these to the scores of candidates; always in float32."""

    def __init__(self, hidden_size: int, size: int, max_width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.max_width, self.classes = max_width, classes
        self.dropout = nn.Dropout(dropout)
        self.words = nn.Linear(hidden_size, 2 * size, dtype=torch.float32)

    def features(self, vectors_WH: Tensor) -> Tensor:
        """[W, 2P]: the vector of each word as the first one of a span, and as the last."""
        with torch.autocast(vectors_WH.device.type, enabled=False):
            features_WF: Tensor = self.words(self.dropout(vectors_WH.float()))
        return features_WF

    @abstractmethod
    def forward(self, starts_NP: Tensor, ends_NP: Tensor, width: int) -> Tensor:
        """[N, C]: the scores of candidates of `width` words."""

    @abstractmethod
    def stored(self) -> SpanScorer:
        """The same function of two vectors, in numpy."""


class MlpSpanScorer(SpanScorerModule):
    """A hidden layer over [start; end; width], and an output layer."""

    def __init__(self, hidden_size: int, size: int, max_width: int, classes: int, dropout: float) -> None:
        super().__init__(hidden_size, size, max_width, classes, dropout)
        self.widths = nn.Parameter(torch.zeros(max_width, size))
        self.output = nn.Linear(size, classes, dtype=torch.float32)
        with torch.no_grad():
            self.output.bias.copy_(_prior(classes))

    def forward(self, starts_NP: Tensor, ends_NP: Tensor, width: int) -> Tensor:
        """Scores [N, C]."""
        hidden_NP = (starts_NP + ends_NP + self.widths[width - 1]).relu()
        scores_NC: Tensor = self.output(self.dropout(hidden_NP))
        return scores_NC

    def stored(self) -> SpanScorer:
        """The same in numpy."""
        return MlpScorer(
            as_numpy(self.widths), as_numpy(self.output.weight).T.copy(), as_numpy(self.output.bias)
        )


class BiaffineSpanScorer(SpanScorerModule):
    """A biaffine form of the vectors of first and last word, and a term per width and class."""

    def __init__(self, hidden_size: int, size: int, max_width: int, classes: int, dropout: float) -> None:
        super().__init__(hidden_size, size, max_width, classes, dropout)
        self.widths = nn.Parameter(_prior(classes).repeat(max_width, 1))
        self.pairs = nn.Parameter(torch.empty(classes, size + 1, size + 1))
        nn.init.normal_(self.pairs, std=1 / (size + 1))

    def features(self, vectors_WH: Tensor) -> Tensor:
        """[W, 2P], after an activation: as in Dozat and Manning, ICLR 2017."""
        return super().features(vectors_WH).relu()

    def forward(self, starts_NP: Tensor, ends_NP: Tensor, width: int) -> Tensor:
        """Scores [N, C]."""
        ones_N1 = starts_NP.new_ones(len(starts_NP), 1)
        starts_NQ, ends_NQ = (torch.cat([self.dropout(each), ones_N1], 1) for each in (starts_NP, ends_NP))
        by_class = [((starts_NQ @ pairs_QQ) * ends_NQ).sum(1) for pairs_QQ in self.pairs]
        return torch.stack(by_class, 1) + self.widths[width - 1]

    def stored(self) -> SpanScorer:
        """The same in numpy."""
        return BiaffineScorer(as_numpy(self.widths), as_numpy(self.pairs))


def _prior(classes: int) -> Tensor:
    """[C]: initial scores, with which a candidate is a span with probability `_SPANS`, of any type alike.

    Otherwise the first updates would only learn that most candidates are no span (Lin et al., ICCV 2017, section 4.1).
    """
    prior = torch.zeros(classes)
    prior[0] = math.log((1 - _SPANS) / _SPANS * max(1, classes - 1))
    return prior


class SpanHeadModule(HeadModule):
    """Classifies candidate spans.

    Args:
        scorer: scores candidates.
        labels: their tags tell from the gold tags of a batch which spans there are.
        classes: the types of each class; the first is no span.
        overlap: which predicted spans may overlap.
        negatives: the share of candidates without a span that have a loss in training, each time others. Their losses
            have the weight 1 / share, so that the expected loss is that of all candidates.
        criterion: the loss of one candidate.
    """

    def __init__(
        self,
        scorer: SpanScorerModule,
        labels: LabelSet,
        classes: Sequence[Sequence[str]],
        overlap: Overlap,
        negatives: float,
        criterion: ClassificationLoss,
    ) -> None:
        super().__init__()
        self.scorer, self.labels, self.classes, self.overlap = scorer, labels, classes, overlap
        self.negatives, self.criterion = negatives, criterion

    def loss(
        self,
        vectors_WH: Tensor,
        tags_WD: Tensor,
        lengths_S: Tensor | Sequence[int],
        allowed_WL: Tensor | None = None,
    ) -> Tensor:
        """Sum of the losses of the candidates in sentences with a loss.

        In a partly labelled sentence, `allowed_WL` has the tags that `O` may hide: a candidate may then have any of
        their types besides its own.
        """
        features_WF = self.scorer.features(vectors_WH)
        lengths = torch.as_tensor(lengths_S).tolist()
        classes_WK = candidate_classes(
            on_host(tags_WD).numpy(), lengths, self.labels, self.scorer.max_width, self.classes
        )
        scored = classes_WK != IGNORED
        if not self.training or self.negatives == 1:
            return self._losses(features_WF, lengths, scored, classes_WK, allowed_WL)
        gold, sampled = classes_WK > 0, self._sampled(scored.shape)
        total = self._losses(features_WF, lengths, gold, classes_WK, allowed_WL)
        negatives = self._losses(features_WF, lengths, scored & ~gold & sampled, classes_WK, allowed_WL)
        return total + negatives / self.negatives

    def _sampled(self, shape: tuple[int, ...]) -> Booleans:
        """Which candidates are sampled, by the random numbers of the CPU, which checkpoints have."""
        sampled: Booleans = (torch.rand(shape) < self.negatives).numpy()
        return sampled

    def _losses(
        self,
        features_WF: Tensor,
        lengths: Sequence[int],
        scored_WK: Booleans,
        classes_WK: Integers,
        allowed_WL: Tensor | None,
    ) -> Tensor:
        """Sum of the losses of some candidates."""
        starts_WP, ends_WP = features_WF.chunk(2, 1)
        hidden_WT = None if allowed_WL is None else self._hidden_types(on_host(allowed_WL))
        device, total = features_WF.device, features_WF.sum() * 0.0
        for width, begins in candidate_rows(lengths, self.scorer.max_width):
            own = begins[scored_WK[begins, width - 1]]
            if not len(own):
                continue
            known_N, first_N = torch.from_numpy(classes_WK[own, width - 1]), torch.from_numpy(own)
            rows = to_device(first_N, device)
            scores_NC = self.scorer(
                starts_WP.index_select(0, rows), ends_WP.index_select(0, rows + (width - 1)), width
            )
            allowed_NC = (
                None if hidden_WT is None else to_device(self._allowed(known_N, hidden_WT[first_N]), device)
            )
            total = total + self.criterion(scores_NC, to_device(known_N, device), allowed_NC)
        return total

    def _hidden_types(self, allowed_WL: Tensor) -> Tensor:
        """[W, T]: whether a candidate that begins at the word may have each type without an annotation."""
        return allowed_WL[:, [self.labels.index[f"B-{type_}"] for type_ in self.labels.types]]

    def _allowed(self, classes_N: Tensor, hidden_NT: Tensor) -> Tensor:
        """[N, C]: the classes whose types are those of the gold class and any hidden ones."""
        members_CT = torch.tensor([[type_ in each for type_ in self.labels.types] for each in self.classes])
        own_N1T = members_CT[classes_N].unsqueeze(1)
        has_own_NC = (members_CT | ~own_N1T).all(2)
        has_others_NC = (members_CT & ~own_N1T & ~hidden_NT.unsqueeze(1)).any(2)
        return has_own_NC & ~has_others_NC

    def emissions(self, vectors_WH: Tensor) -> Tensor:
        """[W, 2P]: the vectors of each word as the first and as the last one of a span, which `decoder` reads."""
        return self.scorer.features(vectors_WH)

    def decoder(self, labels: LabelSet, decisions: Decisions) -> ScoreDecoder:
        """Scores the candidates, and chooses among them."""
        return SpanDecoder(labels, self.classes, self.scorer.stored(), self.overlap, decisions)
