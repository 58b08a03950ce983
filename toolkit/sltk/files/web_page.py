"""The frame of a self-contained web page without scripts, light or dark like the browser."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

from .safety import printable

_OPENING = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{common}{style}</style>
</head>
<body>
"""
ENDING = "</body>\n</html>\n"


def opening(title: str, style: str, language: str = "en") -> str:
    """The page up to its content; `style` adds to `common_style`.

    The title may be any text. Pictures must be `data:` URLs.
    """
    return _OPENING.format(title=escape_text(title), common=common_style(), style=style, language=language)


@cache
def common_style() -> str:
    """The style that all pages share: the colours --ink, --paper, --faint and --rule, and `mark` in a `--hue`."""
    return Path(__file__).with_name("web_page.css").read_text(encoding="utf-8")


def hue(index: int) -> float:
    """The hue of a type, in degrees: steps of the golden angle give consecutive types distant hues."""
    return (30 - 137.5 * index) % 360


def escape_text(text: str) -> str:
    """Escape markup; line ends and tabs stay, other control characters become symbols."""
    return escape(printable(text, keep="\n\t"))
