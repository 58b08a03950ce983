"""Text from outside in Markdown: labels, file names and settings can neither format a page nor add HTML to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..files.safety import printable

_SPECIAL = re.compile(r"[\\`*\[\]|$~]|(?<!\w)#|(?<![^\W_])_|_(?![^\W_])")
_LINKS = re.compile(r"(?<=[a-z]):(?=//)|(?<=www)\.|@", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: object) -> str:
    """One line of text that is shown as it is: no markup, no HTML, no link, no mention of a user."""
    line = printable(str(text))
    line = re.sub("[&<>]", lambda match: _ENTITIES[match[0]], line)
    line = _SPECIAL.sub(lambda match: f"\\{match[0]}", line)
    return _LINKS.sub(lambda match: f"&#{ord(match[0])};", line)


def with_code(text: object) -> str:
    """Like `escaped`, but what is between two backticks is shown as code."""
    parts = re.split("`([^`]+)`", printable(str(text)))
    return "".join(f"`{part}`" if number % 2 else escaped(part) for number, part in enumerate(parts))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells are escaped, columns are text of this package."""
    lines = [columns, ["---"] * len(columns), *([escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fenced(language: str, code: str) -> str:
    """A block of code, in a fence that is longer than any in it."""
    longest = max(map(len, re.findall("`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}\n"
