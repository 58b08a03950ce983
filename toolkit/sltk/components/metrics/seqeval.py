"""The `seqeval` metric: a span is correct if both ends and the type are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from ... import schemes
from ...errors import SpecError
from ...schemes.names import SchemeName
from ..registry import register
from ..slots import Tally
from .counting import Counts, TallyMetric, WordCounts, exact_scores, signature
from .span_metric import READ_AS_BIOES, SpanMetric
from .verification import SCHEMES, Verifier, Verify

SpanScheme = Literal["IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES", "layers"]

EQUAL_TO = "seqeval-1.2.2"
"""The release of seqeval that the tests compare with. (It strips hyphens off the ends of types.)"""


def cannot_flatten(scheme: str) -> str:
    """Why tags in `layers` cannot be scored in another scheme, for a message."""
    return f"spans in `layers` may overlap, which {scheme} cannot hold: leave out `scheme`"


@register.metric("seqeval")
class SeqevalMetric(TallyMetric, SpanMetric):
    """Precision, recall and F1 of spans: the same scores as the package seqeval, computed in linear time.

    `strict` counts spans that are well-formed from their first word to their last, like seqeval's `mode="strict"`
    with this scheme; `conlleval` lets a stray I- open a span, like the conlleval script and seqeval without a mode.
    IO, BMES and `layers`, which seqeval does not have, are counted by the same rules; in `layers`, spans may overlap.
    """

    scheme: SpanScheme | None = Field(
        default=None, description="convert the tags to this scheme before counting; unset: the model's scheme"
    )

    verify: Verify = Field(
        default="auto",
        description="compare the final scores with those of the package seqeval, if the mode is strict and the package "
        "has the scheme: if that takes less than a second (auto), or always, or never; a difference is an error",
    )

    def tally(self, scheme: SchemeName) -> Tally:
        """Micro `precision`, `recall`, `f1`; `macro_f1`, `weighted_f1`; `accuracy` over words; `per_type`.

        Raises:
            SpecError: the tags are plain, or in `layers`, which `scheme` cannot hold.
        """
        self.check_scheme(scheme)
        if scheme == "layers" and self.scheme not in (None, "layers"):
            raise SpecError(f"metric `seqeval`: {cannot_flatten(self.scheme)}")
        return _SpanTally(self, scheme)

    def spans(self, tags: Sequence[str], scheme: SchemeName) -> list[schemes.Chunk]:
        """The spans of a sentence, in order, after conversion to the option `scheme`.

        Raises:
            SchemeError: a tag that the scheme does not have.
        """
        if self.scheme in (None, scheme):
            return super().spans(tags, scheme)
        strict = self.mode == "strict"
        converted, _ = schemes.convert(
            tags, self.read_as(scheme), self.scheme, "drop" if strict else "conlleval"
        )
        return schemes.chunks(converted, self.scheme, strict=strict)

    def signature(self, scheme: SchemeName) -> str:
        """The settings that two scores must share to be comparable."""
        counted_in = self.scheme or scheme
        settings: dict[str, object] = {"scheme": counted_in}
        if counted_in != scheme:
            settings["converted-from"] = scheme
        settings["mode"] = self.mode
        if counted_in in (SCHEMES if self.mode == "strict" else READ_AS_BIOES):
            settings["equal-to"] = EQUAL_TO
        return signature("seqeval", **settings)


class _SpanTally:
    def __init__(self, metric: SeqevalMetric, scheme: SchemeName) -> None:
        self._metric, self._scheme = metric, scheme
        self._words, self._spans = WordCounts(scheme), Counts()
        is_comparable = metric.mode == "strict" and metric.scheme in (None, scheme)
        self._verifier = Verifier(scheme, metric.verify if is_comparable else "never")

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Count the spans and tags of a sentence."""
        self._words.add(gold, predicted)
        scheme = self._scheme
        self._spans.add_spans(self._metric.spans(gold, scheme), self._metric.spans(predicted, scheme))
        self._verifier.add(gold, predicted)

    def scores(self) -> dict[str, Any]:
        """The scores of all sentences.

        Raises:
            RunError: the package seqeval computes other scores.
        """
        scores = exact_scores(self._spans, self._words)
        verified_by = self._verifier.verify(scores)
        return {**scores, "verified_by": verified_by, "signature": self._metric.signature(self._scheme)}
