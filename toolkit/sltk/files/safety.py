"""Replace what would break a line, a terminal, a spreadsheet or UTF-8 by visible symbols."""

from __future__ import annotations

import json
import re
from typing import Any

_SYMBOLS = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}
_CELL_SYMBOLS = {code: _SYMBOLS[code] for code in map(ord, "\t\n\r")}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# JSON allows these characters, but UTF-8 cannot encode surrogates, terminals interpret C1 controls, and some programs
# end a line at U+0085, U+2028 or U+2029. A \u escape is the same text for every JSON reader.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_C1_AND_SURROGATES = re.compile("[\x80-\x9f\ud800-\udfff]")


def encodable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def cell(text: str) -> str:
    """Make text fit one cell of a tab-separated line: tabs, line feeds and carriage returns become ␉, ␊, ␍.

    Other characters stay, so the file has the same words. Every character stays one character, so offsets hold.
    """
    return text if text.isprintable() else encodable(text).translate(_CELL_SYMBOLS)  # nearly all text is


def breaks_cells(text: str) -> bool:
    """Whether `cell` replaces a tab or a line end in this text."""
    return "\t" in text or "\n" in text or "\r" in text


def printable(text: str, keep: str = "") -> str:
    """Make text safe for a terminal: control characters, except those in `keep`, become symbols such as ␛, or U+FFFD.

    Every character stays one character, so offsets hold.
    """
    if text.isprintable():
        return text
    symbols = {code: symbol for code, symbol in _SYMBOLS.items() if chr(code) not in keep}
    return _C1_AND_SURROGATES.sub("\ufffd", text.translate(symbols))


def csv_cell(value: object) -> object:
    """Make a value safe for a spreadsheet: control characters become symbols, and text that would be a formula begins
    with an apostrophe. Numbers stay numbers.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if value.startswith(_FORMULA) else text


def json_text(value: Any, **options: Any) -> str:
    """A value as JSON that is safe for UTF-8, for terminals, and for programs that split lines at any line end.

    Letters outside ASCII are not escaped; `options` are those of `json.dumps`.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
