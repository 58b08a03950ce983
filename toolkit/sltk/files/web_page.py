"""The frame of a self-contained web page, light or dark like the browser; without scripts unless one is given."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path

from .safety import printable

_OPENING = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
{common}{style}</style>
</head>
<body>
"""
ENDING = "</body>\n</html>\n"


_WITHOUT_SCRIPT = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def opening(title: str, style: str, language: str = "en", script: str | None = None) -> str:
    """The page up to its content; `style` adds to `common_style`.

    The title may be any text. Pictures must be `data:` URLs. A page with a script allows exactly this script and this
    style, by their hashes: neither event handlers nor `style` attributes in its markup.
    """
    common = common_style()
    policy = _WITHOUT_SCRIPT
    if script is not None:
        policy = (
            f"default-src 'none'; style-src {_hash(f'{chr(10)}{common}{style}')}; script-src {_hash(script)}"
        )
    return _OPENING.format(
        title=escape_text(title), common=common, style=style, language=language, policy=policy
    )


def _hash(content: str) -> str:
    """The content of an element as a Content Security Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


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
