"""Base class of metrics that count spans: decodes tags to spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ... import schemes
from ...errors import SpecError
from ...schemes import Chunk
from ...schemes.names import SchemeName
from ..slots import Metric
from .counting import SpanPairs, TagSequences, word_counts

Mode = Literal["strict", "conlleval"]

# The conlleval script ignores schemes: it reads B, I, E, S and O in any of these.
READ_AS_BIOES = ("IOB1", "IOB2", "IO", "BIOES")


class SpanMetric(Metric):
    """A metric of spans, which are decoded from the tags as `mode` says."""

    needs_spans: ClassVar[bool] = True

    mode: Mode = Field(
        default="strict",
        description="spans to count in ill-formed tag sequences: only those that are well-formed from their first "
        "word to their last (strict), or also those opened by a stray I- (conlleval)",
    )

    def read_as(self, scheme: SchemeName) -> SchemeName:
        """The scheme used to decode tags in `scheme`."""
        return "BIOES" if self.mode == "conlleval" and scheme in READ_AS_BIOES else scheme

    def spans(self, tags: Sequence[str], scheme: SchemeName) -> list[Chunk]:
        """The spans of a sentence, in order; they overlap only in the scheme `layers`.

        Raises:
            SchemeError: a tag that the scheme does not have.
        """
        return schemes.chunks(tags, self.read_as(scheme), strict=self.mode == "strict")

    def check_scheme(self, scheme: SchemeName) -> None:
        """Check that tags mark spans.

        Raises:
            SpecError: the tags are plain.
        """
        if scheme == "plain":
            raise SpecError(
                f"metric `{self.type_name}` counts spans, but plain tags mark none: use the metric `accuracy`"
            )

    def pairs(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> SpanPairs:
        """The gold and the predicted spans of each sentence.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain, and mark no spans.
            ValueError: gold and predicted differ in length.
        """
        self.check_scheme(scheme)
        word_counts(gold, predicted, scheme)
        return [
            (self.spans(right, scheme), self.spans(guess, scheme))
            for right, guess in zip(gold, predicted, strict=True)
        ]
