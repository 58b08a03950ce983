"""The `whitespace` splitter: splits at white space."""

from __future__ import annotations

import re

from ..registry import register
from ..slots import Splitter


@register.splitter("whitespace")
class WhitespaceSplitter(Splitter):
    """Words separated by white space, exactly as `str.split`: for text that is already tokenized."""

    def split(self, text: str) -> list[tuple[int, int]]:
        """Half-open offsets of the words."""
        return [match.span() for match in re.finditer(r"\S+", text)]
