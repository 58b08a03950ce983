"""The `text` writer: for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from ...files.safety import harmless
from ...types import Prediction
from ..registry import register
from ..slots import Writer
from .highlights import highlights, text_and_offsets

_COLORS = (31, 32, 33, 34, 35, 36)  # the ANSI colours that both dark and light terminals show
_RESET = "\x1b[0m"


@register.writer("text")
class TextWriter(Writer):
    """A sentence a line, its spans marked: `The [pasta](positive) was fine.`

    Plain tags, which form no spans, mark every word. Control characters are shown as symbols: ␛ for escape.
    """

    color: bool = Field(default=False, description="colour the spans by type, with ANSI escapes")

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """One line a sentence."""
        colors: dict[str, int] = {}  # by type, in order of first occurrence
        for prediction in predictions:
            yield self._line(prediction, colors) + "\n"

    def _line(self, prediction: Prediction, colors: dict[str, int]) -> str:
        text, _ = text_and_offsets(prediction)
        text = harmless(text)
        marks: list[tuple[int, int, str]] = []  # where, its rank there, what to insert
        for order, span in enumerate(highlights(prediction)):
            begin, finish = self._marks(harmless(span.type), colors)
            # At one place, spans close before others open; of nested ones the inner closes first.
            marks += [(span.start, order + 1, begin), (span.end, -order - 1, finish)]
        pieces, done = [], 0
        for place, _, mark in sorted(marks):
            pieces += [text[done:place], mark]
            done = place
        return "".join([*pieces, text[done:]])

    def _marks(self, type_: str, colors: dict[str, int]) -> tuple[str, str]:
        """What opens and closes a span of this type."""
        if not self.color:
            return "[", f"]({type_})"
        color = f"\x1b[{colors.setdefault(type_, _COLORS[len(colors) % len(_COLORS)])}m"
        return f"{color}[", f"]({type_}){_RESET}"
