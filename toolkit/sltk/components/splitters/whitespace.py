"""The `whitespace` splitter."""

from __future__ import annotations

import re

from ..registry import register
from ..slots import Splitter


@register.splitter("whitespace")
class WhitespaceSplitter(Splitter):
    """Words are what white space separates, exactly as `str.split` has it: for text that is already split."""

    def split(self, text: str) -> list[tuple[int, int]]:
        """Offsets of the words, half-open."""
        return [match.span() for match in re.finditer(r"\S+", text)]
