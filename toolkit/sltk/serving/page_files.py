"""The files of the page at `/`; clients without a token get them too."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import PurePath

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def page_files() -> dict[str, tuple[bytes, str]]:
    """Content and media type of each file, by its path on the server."""
    package = files("sltk")
    sources = [*(package / "serving" / "page").iterdir(), package / "files" / "web_page.css"]
    known = {f"/{each.name}": each for each in sources if PurePath(each.name).suffix in _MEDIA_TYPES}
    known["/"] = known.pop("/index.html")
    return {path: (source.read_bytes(), _media_type(source.name)) for path, source in known.items()}


def _media_type(name: str) -> str:
    return f"{_MEDIA_TYPES[PurePath(name).suffix]}; charset=utf-8"
