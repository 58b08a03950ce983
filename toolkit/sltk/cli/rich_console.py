"""Consoles for tables and progress bars, whose text cannot control the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from ..files.safety import printable
from .terminal import Output, is_styled


class SafeConsole(Console):
    """A console on standard output or standard error, without markup, and without styles if the user wants none."""

    def __init__(self, *, is_error: bool = False, width: int | None = None) -> None:
        output: Any = Output(is_error=is_error)
        styled = is_styled(sys.stderr if is_error else sys.stdout)
        super().__init__(
            file=output, width=None if output.isatty() else width, force_terminal=output.isatty(),
            color_system="auto" if styled else None, markup=False, emoji=False, highlight=False,
        )  # fmt: skip

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything, with symbols in place of the control characters of its text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, keep="\n"))


def shown(text: str, style: str = "") -> Text:
    """Text for a table or a line: a line of symbols is as wide as it looks, so that columns stay aligned."""
    return Text(printable(text), style=style)
