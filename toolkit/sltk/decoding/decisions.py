"""What can be chosen about the way from scores to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import Problem, UsageError, nearest
from ..schemes.names import SchemeName

Mode = Literal["head", "constrained"]
SpanScore = Literal["product", "minimum", "marginal"]
Measure = Literal["margin", "entropy"]
NO_CONSTRAINT = "constrained decoding needs a scheme of spans: plain tags may follow each other in any order"


@dataclass(frozen=True)
class Decisions:
    """How the scores of a model become predictions."""

    decode: Mode = "head"
    """`head` decides as the head was trained to; `constrained` chooses the best tags that the scheme allows."""
    span_score: SpanScore = "product"
    """`product` or `minimum` of the probabilities of a span's tags, or the probability of all of them together
    (`marginal`)."""
    min_score: float = 0.0
    """Spans with a lower score are left out."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """The same by type; the higher of the two counts."""
    uncertainty: Measure | None = None
    """How to measure the uncertainty about a sentence; None: not at all."""
    compare: bool = False
    """With `constrained`, also return what the head chooses without constraint."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: one is not valid.
        """
        for name, kind in (("decode", Mode), ("span_score", SpanScore), ("uncertainty", Measure)):
            value = getattr(self, name)
            if value is not None or name != "uncertainty":
                check_name(name, value, get_args(kind))
        if not _is_share(self.min_score):
            raise UsageError(f"the minimum score must be a number from 0 to 1, not `{self.min_score}`")

    def threshold(self, type_: str) -> float:
        """The lowest score with which a span of this type is kept."""
        return max(self.min_score, self.thresholds.get(type_, 0.0))

    def summary(self) -> dict[str, Any]:
        """What scores of these predictions depend on, ready for JSON."""
        return {
            "decode": self.decode,
            "span_score": self.span_score,
            "thresholds": dict(self.thresholds),
        }

    @property
    def leaves_out_spans(self) -> bool:
        """Whether spans may be left out because of their score."""
        return self.min_score > 0 or bool(self.thresholds)


def check_name(key: str, value: object, known: tuple[str, ...]) -> None:
    """Check that a value is one of the names that are known.

    Raises:
        UsageError: it is not; the error lists them.
    """
    if value not in known:
        about, note = f"unknown `{key}`: `{value}`", f"one of: {', '.join(known)}"
        raise UsageError(Problem(about, suggestion=nearest(str(value), known), notes=(note,)))


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def check_scheme(scheme: SchemeName, decisions: Decisions) -> None:
    """Check that tags of a scheme can be decided like this.

    Raises:
        UsageError: the tags are plain, and the decisions are about spans.
    """
    if scheme != "plain":
        return
    if decisions.decode == "constrained":
        raise UsageError(NO_CONSTRAINT)
    if decisions.leaves_out_spans:
        raise UsageError(
            "a minimum score leaves out spans, but this model predicts plain tags, which mark none"
        )
