"""The labelled characters of a prediction: its spans, or its words if the tags are plain."""

from __future__ import annotations

from dataclasses import dataclass

from ...types import Prediction, Span


@dataclass(frozen=True, slots=True)
class Highlight:
    """Characters `start` to `end` (not included) of a sentence's text have the type `type`."""

    start: int
    end: int
    type: str
    score: float | None


def text_and_offsets(prediction: Prediction) -> tuple[str, list[tuple[int, int]]]:
    """The text of the sentence, and the offsets of its words."""
    sentence = prediction.sentence.with_text()
    assert sentence.text is not None
    assert sentence.offsets is not None
    return sentence.text, sentence.offsets


def char_range(span: Span, offsets: list[tuple[int, int]]) -> tuple[int, int]:
    """The first character of a span, and the one after its last."""
    return offsets[span.start][0], offsets[span.end - 1][1]


def highlights(prediction: Prediction) -> list[Highlight]:
    """The spans in characters, in order; of spans with the same start the longest comes first.

    Plain tags, as in part-of-speech tagging, mark no spans: each word with a tag other than `O` is highlighted.
    """
    _, offsets = text_and_offsets(prediction)
    if prediction.spans:
        spans = [Highlight(*char_range(span, offsets), span.type, span.score) for span in prediction.spans]
        return sorted(spans, key=lambda span: (span.start, -span.end, span.type))
    scores: list[float] | list[None] = prediction.scores or [None] * len(offsets)
    return [
        Highlight(start, end, tag, score)
        for (start, end), tag, score in zip(offsets, prediction.tags, scores, strict=True)
        if tag != "O"
    ]
