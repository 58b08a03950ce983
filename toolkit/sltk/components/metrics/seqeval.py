"""The `seqeval` metric: a span is correct if both ends and the type are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from ... import schemes
from ...schemes.names import SchemeName
from ..registry import register
from .counting import TagSequences, signature, span_scores
from .span_metric import READ_AS_BIOES, SpanMetric

SpanScheme = Literal["IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES"]

EQUAL_TO = "seqeval-1.2.2"
"""The release of seqeval that the tests compare with. (It strips hyphens off the ends of types.)"""
_SEQEVAL_SCHEMES = ("IOB1", "IOB2", "BIOES", "BILOU")


@register.metric("seqeval")
class SeqevalMetric(SpanMetric):
    """Precision, recall and F1 of spans: the same scores as the package seqeval, computed in linear time.

    `strict` counts spans that are well-formed from their first word to their last, like seqeval's `mode="strict"`
    with this scheme; `conlleval` lets a stray I- open a span, like the conlleval script and seqeval without a mode.
    IO and BMES, which seqeval does not have, are counted by the same rules.
    """

    scheme: SpanScheme | None = Field(
        default=None, description="convert the tags to this scheme before counting; unset: the model's scheme"
    )

    def compute(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> dict[str, Any]:
        """Micro `precision`, `recall`, `f1`; `macro_f1`, `weighted_f1`; `accuracy` over words; `per_type`.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain.
            ValueError: gold and predicted differ in length.
        """
        sentences = self.pairs(gold, predicted, scheme)
        return {**span_scores(sentences, gold, predicted), "signature": self._signature(scheme)}

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

    def _signature(self, scheme: SchemeName) -> str:
        counted_in = self.scheme or scheme
        settings: dict[str, object] = {"scheme": counted_in}
        if counted_in != scheme:
            settings["converted-from"] = scheme
        settings["mode"] = self.mode
        if counted_in in (_SEQEVAL_SCHEMES if self.mode == "strict" else READ_AS_BIOES):
            settings["equal-to"] = EQUAL_TO
        return signature("seqeval", **settings)
