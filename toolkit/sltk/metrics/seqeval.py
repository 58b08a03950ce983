"""The `seqeval` metric: spans, right only if both ends and the type are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .. import schemes
from ..registry import register
from ..slots import Metric, SchemeName
from .counting import Counts, TagSequences, accuracy, signature, sizes

SpanScheme = Literal["IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES"]
Mode = Literal["strict", "conlleval"]

EQUAL_TO = "seqeval-1.2.2"
"""The release of seqeval that the tests compare with. (It strips hyphens off the ends of types.)"""
_SEQEVAL_HAS = ("IOB1", "IOB2", "BIOES", "BILOU")
# The conlleval script knows no schemes: it reads B, I, E, S and O wherever they stand.
_READ_AS_BIOES = ("IOB1", "IOB2", "IO", "BIOES")


@register.metric("seqeval")
class SeqevalMetric(Metric):
    """Precision, recall and F1 of spans, counted as seqeval counts them but in linear time.

    `strict` counts the spans that are well-formed from their first word to their last, like seqeval's
    `mode="strict"` with the scheme given; `conlleval` lets a stray I- open a span, like the conlleval script
    and seqeval without a mode. seqeval does not know IO and BMES; here they are counted by the same rules.
    """

    scheme: SpanScheme | None = Field(
        default=None, description="convert the tags to this scheme before counting; unset: the model's own"
    )
    mode: Mode = Field(default="strict", description="what is a span in an ill-formed sequence of tags")

    def compute(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> dict[str, Any]:
        """Micro `precision`, `recall`, `f1`; `macro_f1`, `weighted_f1`; `accuracy` over words; `per_type`.

        Raises:
            SchemeError: a tag that the scheme does not have.
            ValueError: gold and predicted differ in length, or the tags are plain.
        """
        if scheme == "plain":
            raise ValueError("plain tags mark no spans to count: use the metric `accuracy`")
        counted = sizes(gold, predicted)
        counts = self._counts(gold, predicted, scheme)
        return {
            **counts.micro(),
            **counts.averages(),
            "accuracy": accuracy(gold, predicted),
            "support": counts.gold.total(),
            "predicted": counts.predicted.total(),
            "correct": counts.correct.total(),
            "per_type": counts.per_type(),
            **counted,
            "signature": self._signature(scheme),
        }

    def read_as(self, scheme: SchemeName) -> SchemeName:
        """The scheme whose letters are read in tags that are said to be in `scheme`."""
        return "BIOES" if self.mode == "conlleval" and scheme in _READ_AS_BIOES else scheme

    def _counts(self, gold: TagSequences, predicted: TagSequences, scheme: SchemeName) -> Counts:
        wanted: list[schemes.Chunk] = []
        found: list[schemes.Chunk] = []
        correct: list[schemes.Chunk] = []
        for right, guess in zip(gold, predicted, strict=True):
            in_gold, in_guess = self._spans(right, scheme), self._spans(guess, scheme)
            wanted += in_gold
            found += in_guess
            correct += set(in_gold).intersection(in_guess)
        return Counts.of(*([type_ for _, _, type_ in spans] for spans in (wanted, found, correct)))

    def _spans(self, tags: Any, scheme: SchemeName) -> list[schemes.Chunk]:
        strict, read_as = self.mode == "strict", self.read_as(scheme)
        if self.scheme in (None, scheme):
            return schemes.chunks(tags, read_as, strict=strict)
        converted, _ = schemes.convert(tags, read_as, self.scheme, "drop" if strict else "conlleval")
        return schemes.chunks(converted, self.scheme, strict=strict)

    def _signature(self, scheme: SchemeName) -> str:
        counted_in = self.scheme or scheme
        settings: dict[str, str] = {"scheme": counted_in}
        if counted_in != scheme:
            settings["converted-from"] = scheme
        settings["mode"] = self.mode
        if counted_in in (_SEQEVAL_HAS if self.mode == "strict" else _READ_AS_BIOES):
            settings["equal-to"] = EQUAL_TO
        return signature("seqeval", **settings)
