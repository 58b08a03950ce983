"""Characters that would break a line, a terminal or UTF-8, made visible instead."""

from __future__ import annotations

import re

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}
_CELL_PICTURES = {code: _PICTURES[code] for code in map(ord, "\t\n\r")}
_C1_AND_SURROGATES = re.compile("[\x80-\x9f\ud800-\udfff]")


def encodable(text: str) -> str:
    """The text with each lone surrogate, which no UTF-8 can hold, replaced by U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def cell(text: str) -> str:
    """The text fit for one cell of a tab-separated line: a tab, line feed or carriage return becomes ␉, ␊, ␍.

    All else stays, so that the file has the words that went in. The symbols keep every offset as it was.
    """
    return encodable(text).translate(_CELL_PICTURES)


def harmless(text: str) -> str:
    """The text fit for a terminal: each control character (ESC among them) becomes its symbol, ␛, or U+FFFD.

    One character stays one character, so offsets hold.
    """
    return _C1_AND_SURROGATES.sub("\ufffd", text.translate(_PICTURES))
