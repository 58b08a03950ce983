"""The `text` writer: sentences with marked spans, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from ...files.safety import printable
from ...types import Prediction, Unused
from ..registry import register
from ..slots import Writer
from .highlights import highlights, joined_changes, text_and_offsets

_COLORS = (31, 32, 33, 34, 35, 36)  # ANSI colours that are visible in both dark and light terminals
_RESET = "\x1b[0m"


@register.writer("text")
class TextWriter(Writer):
    """One sentence per line with its spans marked: `The [pasta](positive) was fine.`

    Plain tags, which form no spans, mark every word. Control characters are shown as symbols: ␛ for escape.
    """

    color: bool = Field(default=False, description="colour spans by type, with ANSI escapes")

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Discontinuous spans."""
        return joined_changes(prediction)

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield one line per sentence."""
        colors: dict[str, int] = {}  # by type, in order of first occurrence
        for prediction in predictions:
            yield self._line(prediction, colors) + "\n"

    def _line(self, prediction: Prediction, colors: dict[str, int]) -> str:
        text, _ = text_and_offsets(prediction)
        text = printable(text)
        marks: list[tuple[int, int, str]] = []  # place in the text, order at this place, mark to insert
        for order, span in enumerate(highlights(prediction)):
            opening, closing = self._marks(printable(span.type), colors)
            # At the same place, spans close before others open; inner spans close first.
            marks += [(span.start, order + 1, opening), (span.end, -order - 1, closing)]
        pieces, done = [], 0
        for place, _, mark in sorted(marks):
            pieces += [text[done:place], mark]
            done = place
        return "".join([*pieces, text[done:]])

    def _marks(self, type_: str, colors: dict[str, int]) -> tuple[str, str]:
        """The opening and the closing mark of a span of this type."""
        if not self.color:
            return "[", f"]({type_})"
        color = f"\x1b[{colors.setdefault(type_, _COLORS[len(colors) % len(_COLORS)])}m"
        return f"{color}[", f"]({type_}){_RESET}"
