"""Label whole texts: each line by itself, with the offsets of the whole text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from ..types import Prediction, Sentence, Span
from .labeller import Labeller

_MARK = "\ufeff"


def label_texts(labeller: Labeller, texts: Iterable[str]) -> list[Prediction]:
    """Label texts of any number of lines; the result has one prediction per text, with the offsets of the text."""
    texts = list(texts)
    lines = [text_lines(text) for text in texts]
    predictions = labeller.stream(line for part in lines for _, line in part)
    return [
        join_lines(text, part, list(islice(predictions, len(part))))
        for text, part in zip(texts, lines, strict=True)
    ]


def text_lines(text: str) -> list[tuple[int, str]]:
    r"""The lines of a text without their ends, each with the offset of its first character; one at least.

    Lines are those of a text file: they end at `\n` or `\r\n`, or at `\r` in a text without `\n`.
    A byte-order mark at the start of a line is left out, and so are blank lines, except the only one of a text.
    """
    lines, start = [], 0
    for line in text.split("\n" if "\n" in text or "\r" not in text else "\r"):
        content = line.lstrip(_MARK) if line.startswith(_MARK) else line
        if content and not content.isspace():
            lines.append((start + len(line) - len(content), content.rstrip("\r")))
        start += len(line) + 1
    return lines or [(0, "")]


def join_lines(text: str, lines: Sequence[tuple[int, str]], predictions: Sequence[Prediction]) -> Prediction:
    """Join the predictions of the lines of a text; `lines` is the result of `text_lines`."""
    if len(predictions) == 1 and predictions[0].sentence.text == text:
        return predictions[0]
    words: list[str] = []
    offsets: list[tuple[int, int]] = []
    tags: list[str] = []
    scores: list[float] = []
    spans: list[Span] = []
    for (start, _), prediction in zip(lines, predictions, strict=True):
        first = len(words)
        words += prediction.words
        offsets += [(start + begin, start + end) for begin, end in prediction.sentence.offsets or ()]
        tags += prediction.tags
        scores += prediction.scores or ()
        spans += [replace(span, start=first + span.start, end=first + span.end) for span in prediction.spans]
    return replace(
        predictions[0],
        sentence=Sentence(words, text=text, offsets=offsets),
        tags=tags,
        scores=scores if len(scores) == len(tags) else None,
        spans=spans,
        response=None,
    )
