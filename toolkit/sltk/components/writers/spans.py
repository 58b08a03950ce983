"""The `spans` writer: a table of spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...files.safety import cell
from ...types import Prediction
from ..registry import register
from ..slots import Writer
from .highlights import text_and_offsets

_COLUMNS = ("sentence", "start_word", "end_word", "start_char", "end_char", "type", "score", "text")


@register.writer("spans")
class SpansWriter(Writer):
    """A span a line, tab-separated under a line of column names; ends are half-open.

    Sentences count from 1, words and characters of a sentence from 0. The score is empty where there is none.
    A tab, line feed or carriage return in a text becomes its symbol: ␉, ␊, ␍.
    """

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """The column names, then one piece a sentence that has spans."""
        yield "\t".join(_COLUMNS) + "\n"
        for number, prediction in enumerate(predictions, 1):
            if prediction.spans:
                yield "".join(_lines(number, prediction))


def _lines(number: int, prediction: Prediction) -> Iterator[str]:
    text, offsets = text_and_offsets(prediction)
    for span in prediction.spans:
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        score = "" if span.score is None else span.score
        values = (number, span.start, span.end, start, end, span.type, score, text[start:end])
        yield "\t".join(cell(str(value)) for value in values) + "\n"
