"""What writers write of a prediction: its spans, as characters or as tags; or its tags if these are plain.

This is the only place that decides, so that a prediction has the same spans in every format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from ... import schemes
from ...schemes.names import SchemeName
from ...types import Prediction, Sentence, Span, Unused

_PREFIXED = re.compile(r"[BIESLUMW]-.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Highlight:
    """Characters `start` to `end` (not included) of a sentence's text have the type `type`."""

    start: int
    end: int
    type: str
    score: float | None
    parts: tuple[tuple[int, int], ...] = ()
    """The characters of each part of a discontinuous span."""


def change(sentence: Sentence, reason: str) -> Unused:
    """A report of something that a format cannot hold as it is."""
    return Unused(sentence.file or "(input)", sentence.line, reason, adjusted=True)


def text_and_offsets(prediction: Prediction) -> tuple[str, list[tuple[int, int]]]:
    """The text of the sentence, and the offsets of its words."""
    sentence = prediction.sentence.with_text()
    assert sentence.text is not None
    assert sentence.offsets is not None
    return sentence.text, sentence.offsets


def char_range(span: Span, offsets: list[tuple[int, int]]) -> tuple[int, int]:
    """The first character of a span, and the one after its last."""
    return offsets[span.start][0], offsets[span.end - 1][1]


def written_tags(prediction: Prediction) -> list[str]:
    """The tags that encode the spans: ill-formed ones, which mark no span, are left out.

    Of spans that the scheme cannot hold together, those that training would use are encoded. Plain tags, and tags of an
    unknown scheme, stay.
    """
    if prediction.scheme in (None, "plain"):
        return prediction.tags
    scheme = cast(SchemeName, prediction.scheme)
    spans, _ = schemes.encodable(prediction.spans, scheme)
    return schemes.encode(spans, len(prediction.words), scheme)


def whole_spans(prediction: Prediction) -> list[Span]:
    """The spans as they are annotated, for formats with discontinuous spans: those of its parts become its hull."""
    wholes: list[Span] = []
    joined: set[tuple[object, ...]] = set()
    for span in prediction.spans:
        if not span.fragments:
            wholes.append(span)
        elif (span.type, span.fragments) not in joined:
            joined.add((span.type, span.fragments))
            wholes.append(replace(span, start=span.fragments[0][0], end=span.fragments[-1][1]))
    return wholes


def joined_changes(prediction: Prediction) -> Iterator[Unused]:
    """A report of each discontinuous span, for formats that have none."""
    for span in whole_spans(prediction):
        if span.fragments:
            words = " … ".join(" ".join(prediction.words[start:end]) for start, end in span.fragments)
            how = (
                "one span with everything between its parts"
                if span in prediction.spans
                else "a span for each part"
            )
            reason = f"`{words}` ({span.type}) is discontinuous, written as {how}"
            yield change(prediction.sentence, reason)


def highlights(prediction: Prediction, *, whole: bool = False) -> list[Highlight]:
    """The spans in characters, in order; of spans with the same start the longest comes first.

    `whole` gives discontinuous spans as `whole_spans`, with their parts.
    Plain tags, as in part-of-speech tagging, mark no spans: each word with a tag other than `O` is highlighted.
    """
    _, offsets = text_and_offsets(prediction)
    if _is_plain(prediction):
        scores: list[float] | list[None] = prediction.scores or [None] * len(offsets)
        return [
            Highlight(start, end, tag, score)
            for (start, end), tag, score in zip(offsets, prediction.tags, scores, strict=True)
            if tag != schemes.OUTSIDE
        ]
    spans = [_highlight(span, offsets) for span in (whole_spans(prediction) if whole else prediction.spans)]
    return sorted(spans, key=lambda span: (span.start, -span.end, span.type))


def _highlight(span: Span, offsets: list[tuple[int, int]]) -> Highlight:
    parts = tuple(char_range(replace(span, start=start, end=end), offsets) for start, end in span.fragments)
    return Highlight(*char_range(span, offsets), span.type, span.score, parts)


def _is_plain(prediction: Prediction) -> bool:
    """Whether the tags are plain. If nothing says so, tags with the prefix of a scheme, such as `I-LOC`, are not."""
    if prediction.scheme is not None:
        return prediction.scheme == "plain"
    return not prediction.spans and not any(map(_PREFIXED.match, prediction.tags))
