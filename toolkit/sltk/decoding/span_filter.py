"""Leave out the spans of a prediction whose score is below a threshold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

from .. import schemes
from ..schemes.names import SchemeName
from ..types import Prediction, Span
from .decisions import Decisions


def keep_spans(
    prediction: Prediction, decisions: Decisions, dropped: Counter[str] | None = None
) -> Prediction:
    """The prediction without the spans below the threshold of their type; `dropped` counts these by type.

    The tags of a sentence that loses a span are those of the spans that it keeps: they always agree.
    """
    kept = [span for span in prediction.spans if _is_kept(span, decisions)]
    if len(kept) == len(prediction.spans):
        return prediction
    if dropped is not None:
        dropped.update(span.type for span in prediction.spans if not _is_kept(span, decisions))
    scheme = cast(SchemeName, prediction.scheme)
    encoded, _ = schemes.encodable(kept, scheme)
    tags = schemes.encode(encoded, len(prediction.words), scheme)
    return replace(prediction, tags=tags, spans=kept)


def _is_kept(span: Span, decisions: Decisions) -> bool:
    return span.score is None or span.score >= decisions.threshold(span.type)
