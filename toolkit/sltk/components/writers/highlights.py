"""What of a prediction a person is shown: spans, or one a word where the tags are plain."""

from __future__ import annotations

from dataclasses import dataclass

from ...types import Prediction


@dataclass(frozen=True, slots=True)
class Highlight:
    """Characters `start` to `end` (not included) of a sentence's text have the type `type`."""

    start: int
    end: int
    type: str
    score: float | None


def text_and_offsets(prediction: Prediction) -> tuple[str, list[tuple[int, int]]]:
    """The text of the sentence, and the offsets of its words in it."""
    sentence = prediction.sentence.with_text()
    assert sentence.text is not None
    assert sentence.offsets is not None
    return sentence.text, sentence.offsets


def highlights(prediction: Prediction) -> list[Highlight]:
    """The spans by characters, in order, the wider of two that begin together first.

    Plain tags, as in part-of-speech tagging, make no spans: every word with a tag but `O` is one.
    """
    _, offsets = text_and_offsets(prediction)
    if prediction.spans:
        spans = [
            Highlight(offsets[span.start][0], offsets[span.end - 1][1], span.type, span.score)
            for span in prediction.spans
        ]
        return sorted(spans, key=lambda span: (span.start, -span.end, span.type))
    scores: list[float] | list[None] = prediction.scores or [None] * len(offsets)
    return [
        Highlight(start, end, tag, score)
        for (start, end), tag, score in zip(offsets, prediction.tags, scores, strict=True)
        if tag != "O"
    ]
