"""Recognize content that is not the data a reader expects: pointers of Git-LFS, error pages, archives, documents.

Only the first bytes of a file are looked at.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Literal, NamedTuple

Content = Literal["columns", "table", "json", "xml", "text", "binary"]
"""What a reader expects: one row per line, a table whose cells may hold line ends, JSON, XML, text of any kind, or a
binary format of its own."""

HEAD = 4096
"""Number of bytes that are looked at; the buffer of a pipe may hold fewer."""


class Look(NamedTuple):
    """What content looks like, and advice."""

    name: str
    """With its article, as in `a PDF document`."""
    advice: str | None = None


_UNPACK = "unpack it first"
_AS_TEXT = "save its text as a plain text file"
_NESTED = Look("a compressed file inside another one, or a damaged one", _UNPACK)
_BINARY = (
    (b"%PDF-", Look("a PDF document", _AS_TEXT)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Look("an old Microsoft Office document", _AS_TEXT)),
    (b"{\\rtf", Look("an RTF document", _AS_TEXT)),
    (b"\x1f\x8b", _NESTED),
    (b"PK\x03\x04", _NESTED),
    (b"\x28\xb5\x2f\xfd", Look("a Zstandard archive", "unpack it first, with `zstd -d`")),
    (b"7z\xbc\xaf\x27\x1c", Look("a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", Look("a RAR archive", _UNPACK)),
    (b"PAR1\x15", Look("a Parquet file", "the reader `huggingface` reads Parquet")),
    (b"ARROW1\0", Look("an Arrow file", "the reader `huggingface` reads the folder of `save_to_disk`")),
    (b"SQLite format 3\x00", Look("an SQLite database")),
    (b"\x89PNG\r\n", Look("a PNG image")),
    (b"\xff\xd8\xff", Look("a JPEG image")),
    (b"GIF89a", Look("a GIF image")),
    (b"\x7fELF", Look("a program")),
    (b"\x89HDF\r\n", Look("an HDF5 file")),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95c}\](]", re.DOTALL)
_LFS = re.compile(rb"version https://(git-lfs\.github\.com|hawser\.github\.com)/spec/")
_ANNEX = re.compile(rb"/annex/objects/\S+\s*\Z")
# A tag that is followed by a tag of a column, as in `<html> O`, is a word.
_HTML = re.compile(
    r"\s*(<!--.*?-->\s*)*<(!doctype\s+html|(html|head|body)(\s[^<>]*)?>\s*(<|\n|\Z))",
    re.IGNORECASE | re.DOTALL,
)
# Without a declaration, a tag that is followed by a tag with attributes: `<s>` alone may be a word.
_XML = re.compile(
    r"\s*<(\?xml\s+version\s*=|[A-Za-z][\w.-]*(\s[^<>]*)?>\s*<[A-Za-z][\w.-]*\s+[\w:.-]+\s*=\s*[\"'])"
)
_JSON = re.compile(r'\s*(\[\s*)*\{\s*"(?:[^"\\\n]|\\.)*"\s*:')
_ENDS_IN_JSON = re.compile(r"[\[{,:]\s*\Z")

_HTML_LOOK = Look("an HTML page", "this may be the error page of a failed download")
_XML_LOOK = Look("XML", "the readers of XML formats read it: `sltk list reader`")
_JSON_LOOK = Look("JSON", "the readers `jsonl`, `doccano` and others read JSON: `sltk list reader`")
_REFUSED: dict[Content, tuple[Look, ...]] = {
    "columns": (_HTML_LOOK, _XML_LOOK, _JSON_LOOK),
    "table": (_HTML_LOOK, _XML_LOOK, _JSON_LOOK),
    "json": (_HTML_LOOK, _XML_LOOK),
    "xml": (_HTML_LOOK, _JSON_LOOK),
    "text": (),
    "binary": (),
}
_TAR_MAGIC = slice(257, 262)


def unexpected(head: bytes, content: Content) -> Look | None:
    """What the first bytes of a file look like, if no reader of such content can read it."""
    look = _no_text(head)
    if look is None and content != "binary":
        look = markup(head)
        return look if look in _REFUSED[content] else None
    return look


def markup(head: bytes) -> Look | None:
    """What text looks like, if it is a page or data in a format with marks."""
    text = _decoded(head)
    if _HTML.match(text):
        return _HTML_LOOK
    if _XML.match(text):
        return _XML_LOOK
    return _JSON_LOOK if _is_json(text) else None


def _is_json(text: str) -> bool:
    """Whether a text begins with JSON: a whole value on a line, or the beginning of a longer one."""
    if not _JSON.match(text):
        return False
    line, *others = re.split("[\r\n]", text.lstrip(), maxsplit=1)
    if (not others and len(text) >= HEAD // 2) or _ENDS_IN_JSON.search(line):
        return True
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False  # such as the word `{"id":5}` before its tag
    return True


def _no_text(head: bytes) -> Look | None:
    if _LFS.match(head):
        return Look("a pointer of Git-LFS, not the data", "`git lfs pull` fetches the data")
    if len(head) < HEAD and _ANNEX.search(head) and b"\n" not in head.strip():
        return Look("a pointer of git-annex, not the data", "`git annex get` fetches the data")
    if head[_TAR_MAGIC] == b"ustar":
        return Look("a tar archive", _UNPACK)
    if _PICKLE.match(head):
        return Look("a pickle, which sltk does not load", "write its content as JSON lines")
    return next((look for magic, look in _BINARY if head.startswith(magic)), None)


def _decoded(head: bytes) -> str:
    """The first bytes as text: ASCII is recognized in any encoding."""
    head = head.removeprefix(codecs.BOM_UTF8)
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return head.decode("utf-16", errors="ignore")
    return head.decode("latin-1")
