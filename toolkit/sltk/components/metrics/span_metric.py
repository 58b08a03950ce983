"""What metrics that count spans have in common: which spans a sequence of tags stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ... import schemes
from ...errors import SpecError
from ...schemes import Chunk
from ...schemes.names import SchemeName
from ..slots import Metric
from .counting import TagSequences, sizes

Mode = Literal["strict", "conlleval"]
SpanPairs = list[tuple[list[Chunk], list[Chunk]]]
"""Gold and predicted spans, sentence by sentence."""

# The conlleval script knows no schemes: it reads B, I, E, S and O wherever they stand.
READ_AS_BIOES = ("IOB1", "IOB2", "IO", "BIOES")


class SpanMetric(Metric):
    """A metric of spans, which are read off the tags as `mode` says."""

    needs_spans: ClassVar[bool] = True

    mode: Mode = Field(
        default="strict",
        description="what is a span in an ill-formed sequence of tags: what is well-formed from its first word "
        "to its last (strict), or whatever a stray I- opens too (conlleval)",
    )

    def read_as(self, scheme: SchemeName) -> SchemeName:
        """The scheme whose letters are read in tags that are said to be in `scheme`."""
        return "BIOES" if self.mode == "conlleval" and scheme in READ_AS_BIOES else scheme

    def spans(self, tags: Sequence[str], scheme: SchemeName) -> list[Chunk]:
        """The spans of a sentence, in order; no two of them overlap.

        Raises:
            SchemeError: a tag that the scheme does not have.
        """
        return schemes.chunks(tags, self.read_as(scheme), strict=self.mode == "strict")

    def pairs(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> SpanPairs:
        """The gold and the predicted spans of each sentence.

        Raises:
            SchemeError: a tag that the scheme does not have.
            SpecError: the tags are plain, and mark no spans.
            ValueError: gold and predicted differ in length.
        """
        if scheme == "plain":
            raise SpecError(
                f"metric `{self.type_name}` counts spans, and plain tags mark none: use the metric `accuracy`"
            )
        sizes(gold, predicted)
        return [
            (self.spans(right, scheme), self.spans(guess, scheme))
            for right, guess in zip(gold, predicted, strict=True)
        ]
