"""The frame of a self-contained web page without scripts, light or dark like the browser."""

from __future__ import annotations

from html import escape

from .safety import printable

_OPENING = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c1e21; --paper: #fdfdfc; --faint: #6d727b; --rule: #e2e2df; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e4e6ea; --paper: #17191c; --faint: #9298a2;
  --rule: #2f3238; }} }}
body {{ font-family: system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2.5rem auto;
  padding: 0 1.25rem; }}
{style}</style>
</head>
<body>
"""
ENDING = "</body>\n</html>\n"


def opening(title: str, style: str, language: str = "en") -> str:
    """The page up to its content; `style` may use the colours --ink, --paper, --faint and --rule.

    The title may be any text. Pictures must be `data:` URLs.
    """
    return _OPENING.format(title=escape_text(title), style=style, language=language)


def escape_text(text: str) -> str:
    """Escape markup; line ends and tabs stay, other control characters become symbols."""
    return escape(printable(text, keep="\n\t"))
