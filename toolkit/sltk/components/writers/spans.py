"""The `spans` writer: a table of spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...files.safety import breaks_cells, cell
from ...types import Prediction, Unused
from ..registry import register
from ..slots import Writer
from .highlights import change, char_range, highlights, joined_changes, text_and_offsets

_COLUMNS = ("sentence", "start_word", "end_word", "start_char", "end_char", "type", "score", "text")


@register.writer("spans")
class SpansWriter(Writer):
    """One span per line, in columns separated by tabs, with a header line; ends are half-open.

    Sentences count from 1, words and characters of a sentence from 0. The score is empty for spans without one.
    Tabs, line feeds and carriage returns in a text become symbols: ␉, ␊, ␍.
    """

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield the header, then one piece per sentence with spans."""
        yield "\t".join(_COLUMNS) + "\n"
        for number, prediction in enumerate(predictions, 1):
            if prediction.spans:
                yield "".join(_lines(number, prediction))

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Discontinuous spans, and spans whose text or type has tabs or line ends."""
        yield from joined_changes(prediction)
        for span in highlights(prediction) if prediction.spans else ():
            text = prediction.text[span.start : span.end]
            if breaks_cells(text + span.type):
                shown = f"`{cell(text)}` ({cell(span.type)})"
                yield change(prediction.sentence, f"{shown} has a tab or a line end, written as a symbol")


def _lines(number: int, prediction: Prediction) -> Iterator[str]:
    text, offsets = text_and_offsets(prediction)
    for span in prediction.spans:
        start, end = char_range(span, offsets)
        score = "" if span.score is None else span.score
        values = (number, span.start, span.end, start, end, span.type, score, text[start:end])
        yield "\t".join(cell(str(value)) for value in values) + "\n"
