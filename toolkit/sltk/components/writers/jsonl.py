"""The `jsonl` writer: one JSON object per sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ...files.safety import json_text
from ...types import Prediction
from ..registry import register
from ..slots import Writer
from .highlights import char_range, text_and_offsets, whole_spans, written_tags


@register.writer("jsonl")
class JsonlWriter(Writer):
    """One object per line: `text`, `words` (text, start, end, tag) and `spans` (start, end, text, type, score).

    Offsets count characters of `text`, and are half-open. `score` is null for spans without a score. A discontinuous
    span has its parts in `fragments`, and their text. `uncertainty` is there if `sltk predict` ranks sentences by it.
    """

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield one line per sentence."""
        for prediction in predictions:
            yield json_text(prediction_record(prediction)) + "\n"


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """The object that the writer writes for a sentence: `text`, `words` and `spans`, with half-open offsets.

    `uncertainty` is there if it was measured.
    """
    text, offsets = text_and_offsets(prediction)
    words = [
        {"text": text[start:end], "start": start, "end": end, "tag": tag}
        for (start, end), tag in zip(offsets, written_tags(prediction), strict=True)
    ]
    spans = []
    for span in whole_spans(prediction):
        start, end = char_range(span, offsets)
        parts = [char_range(replace(span, start=first, end=last), offsets) for first, last in span.fragments]
        quoted = " ".join(text[first:last] for first, last in parts or [(start, end)])
        place = {"start": start, "end": end, "text": quoted}
        fragments = {"fragments": parts} if parts else {}
        spans.append({**place, "type": span.type, "score": span.score, **fragments})
    record: dict[str, Any] = {"text": text, "words": words, "spans": spans}
    if prediction.uncertainty is not None:
        record["uncertainty"] = prediction.uncertainty
    return record
